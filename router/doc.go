// Package router is the one http.Handler behind both doors. It recognises what a request asks for, picks an account
// that may serve it, tries until one answers, and relays the answer; a request that it does not recognise on an
// intercepted host goes to that host untouched.
//
// The proxy door hands requests in with an absolute URL that names the original host; the API door hands them in
// with a path only. Nothing else tells the doors apart.
package router
