package ca

import (
	"sync/atomic"

	"github.com/smallstep/certificates/cas/apiv1"
)

// CountingIssuer is an issuer that counts, and that waits for Gate to be closed if there is one.
type CountingIssuer struct {
	apiv1.CertificateAuthorityService
	Count atomic.Int64
	Gate  chan struct{}
}

func (c *CountingIssuer) CreateCertificate(req *apiv1.CreateCertificateRequest) (*apiv1.CreateCertificateResponse, error) {
	c.Count.Add(1)
	if c.Gate != nil {
		<-c.Gate
	}
	return c.CertificateAuthorityService.CreateCertificate(req)
}
