package ca

import (
	"sync/atomic"

	"github.com/smallstep/certificates/cas/apiv1"
)

// CountingIssuer is an issuer that counts.
type CountingIssuer struct {
	apiv1.CertificateAuthorityService
	Count atomic.Int64
}

func (c *CountingIssuer) CreateCertificate(req *apiv1.CreateCertificateRequest) (*apiv1.CreateCertificateResponse, error) {
	c.Count.Add(1)
	return c.CertificateAuthorityService.CreateCertificate(req)
}
