package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// identities is everything that proves who somebody is: certificates, keys and
// tokens, as files under dir. Files that are there already are used again, so
// that a control plane restarted on the same folder still accepts old tokens.
type identities struct {
	dir        string
	adminToken string
}

type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (p *identities) path(name string) string { return filepath.Join(p.dir, name) }

func (p *identities) read(name string) ([]byte, error) { return os.ReadFile(p.path(name)) }

// newIdentities loads or creates all of them.
func newIdentities(dir string) (*identities, error) {
	p := &identities{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := p.authority("ca", "fairlead-test-ca")
	if err != nil {
		return nil, err
	}
	frontCA, err := p.authority("front-proxy-ca", "fairlead-test-front-proxy-ca")
	if err != nil {
		return nil, err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 96, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	client := func(name string, groups ...string) *x509.Certificate {
		return &x509.Certificate{
			Subject:     pkix.Name{CommonName: name, Organization: groups},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	for _, leaf := range []struct {
		name     string
		by       *signer
		template *x509.Certificate
	}{
		{"server", ca, server},
		{"admin", ca, client("admin", "system:masters")},
		{"kubelet-client", ca, client("kube-apiserver-kubelet-client", "system:masters")},
		{"front-proxy", frontCA, client("front-proxy")},
	} {
		if _, err := p.certificate(leaf.name, leaf.by, leaf.template); err != nil {
			return nil, err
		}
	}
	account, err := p.key("service-account")
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(account.Public())
	if err != nil {
		return nil, err
	}
	if err := p.writePEM("service-account.pub", "PUBLIC KEY", public); err != nil {
		return nil, err
	}
	return p, p.tokens()
}

// tokens writes the API server's token file: one line of token,user,uid,groups.
func (p *identities) tokens() error {
	if data, err := p.read("tokens.csv"); err == nil {
		p.adminToken, _, _ = strings.Cut(string(data), ",")
		return nil
	}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	p.adminToken = hex.EncodeToString(raw)
	lines := fmt.Sprintf("%s,admin,admin,\"system:masters\"\n", p.adminToken)
	return os.WriteFile(p.path("tokens.csv"), []byte(lines), 0o600)
}

// key loads or creates a private key (PKCS#8, the form that every client reads).
func (p *identities) key(name string) (crypto.Signer, error) {
	if data, err := p.read(name + ".key"); err == nil {
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s.key is not PEM", name)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return parsed.(crypto.Signer), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, p.writePEM(name+".key", "PRIVATE KEY", der)
}

func (p *identities) authority(name, subject string) (*signer, error) {
	return p.certificate(name, nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: subject},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
}

// certificate loads or creates a key and a certificate; without "by" it signs itself.
func (p *identities) certificate(name string, by *signer, template *x509.Certificate) (*signer, error) {
	key, err := p.key(name)
	if err != nil {
		return nil, err
	}
	if data, err := p.read(name + ".crt"); err == nil {
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s.crt is not PEM", name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		return &signer{cert, key}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	if by == nil {
		by = &signer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &signer{cert, key}, p.writePEM(name+".crt", "CERTIFICATE", der)
}

func (p *identities) writePEM(name, kind string, der []byte) error {
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(p.path(name), data, 0o600)
}
