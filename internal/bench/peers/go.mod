// The proxies that detour is measured beside, and the checkers it is measured with. They live in a module of their own
// so that none of them is ever part of detour.
module detour-peers

go 1.26.0

require (
	github.com/elazarl/goproxy v1.9.2
	github.com/google/martian/v3 v3.3.3
)

require (
	github.com/fatih/color v1.19.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	github.com/summerwind/h2spec v2.2.1+incompatible // indirect
	golang.org/x/net v0.50.0 // indirect
	golang.org/x/sys v0.42.0 // indirect
	golang.org/x/text v0.34.0 // indirect
)

tool github.com/summerwind/h2spec/cmd/h2spec
