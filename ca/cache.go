package ca

import (
	"container/list"
	"crypto/tls"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// leafCacheSize bounds the cache. The hosts in use are a handful; sub-domains of a permitted one are without end.
const leafCacheSize = 256

// leafCache keeps the most recently used leafs by canonical host. Concurrent misses of one host share one issue.
// The zero value is ready.
type leafCache struct {
	flight singleflight.Group

	mu     sync.Mutex // guards what follows; never held while a leaf is made
	byHost map[string]*list.Element
	order  list.List // of cached, most recently used first
}

type cached struct {
	host string
	leaf *leaf
}

// get returns the fresh leaf of host, or nil.
func (c *leafCache) get(host string, now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byHost[host]
	if !ok {
		return nil
	}
	l := e.Value.(*cached).leaf
	if !l.fresh(now) {
		return nil
	}
	c.order.MoveToFront(e)
	return &l.cert
}

// fill makes the leaf of host with issue and keeps it.
func (c *leafCache) fill(host string, now time.Time, issue func() (*leaf, error)) (*tls.Certificate, error) {
	v, err, _ := c.flight.Do(host, func() (any, error) {
		if cert := c.get(host, now); cert != nil {
			return cert, nil // made between the caller's look and this flight
		}
		l, err := issue()
		if err != nil {
			return nil, err
		}
		c.put(host, l)
		return &l.cert, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*tls.Certificate), nil
}

func (c *leafCache) put(host string, l *leaf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHost == nil {
		c.byHost = make(map[string]*list.Element)
	}
	if e, ok := c.byHost[host]; ok {
		e.Value.(*cached).leaf = l
		c.order.MoveToFront(e)
		return
	}
	c.byHost[host] = c.order.PushFront(&cached{host, l})
	if c.order.Len() > leafCacheSize {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.byHost, oldest.Value.(*cached).host)
	}
}
