package config

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"detour/internal/privfile"
	"detour/internal/secret"
)

// Install is the identity of this installation. It is made once, at random, and never changes by itself.
type Install struct {
	DeviceID  string // UUID, version 4
	MachineID string // 64 hexadecimal digits
	// ProxySecret is the password that the proxy asks for with proxy_mode.local_auth. It needs no escaping in a URL.
	ProxySecret secret.String
	// CarrierKey is 32 raw bytes that protect the state which detour lets clients carry.
	CarrierKey secret.String
}

// installFile is install.json.
type installFile struct {
	DeviceID    string `json:"device_id"`
	MachineID   string `json:"machine_id"`
	ProxySecret string `json:"proxy_secret"`
	CarrierKey  string `json:"carrier_key"` // base64
}

// LoadInstall reads install.json, and makes it when there is none; of several processes that do so at once, all get
// the same. A damaged file is an error and is left alone.
func LoadInstall(file string) (*Install, error) {
	in, err := readInstall(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return in, err
	}
	err = privfile.Update(file, func(old []byte) ([]byte, error) {
		if old != nil {
			return nil, nil // another process was first
		}
		return newInstall()
	})
	if err != nil {
		return nil, fmt.Errorf("create installation identity: %w", err)
	}
	return readInstall(file)
}

func readInstall(file string) (*Install, error) {
	data, _, err := privfile.Read(file)
	if err != nil {
		return nil, fmt.Errorf("read installation identity: %w", err)
	}
	var f installFile
	key := []byte(nil)
	if err = json.Unmarshal(data, &f); err == nil {
		key, err = base64.StdEncoding.DecodeString(f.CarrierKey)
	}
	damaged := err != nil || len(key) != 32 || len(f.ProxySecret) < 20 ||
		!regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(f.DeviceID) ||
		!regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(f.MachineID)
	if damaged { // err may quote the file
		return nil, fmt.Errorf("read installation identity: %s is damaged; restore it, or move it away to get a new identity", file)
	}
	return &Install{
		DeviceID: f.DeviceID, MachineID: f.MachineID,
		ProxySecret: secret.New(f.ProxySecret), CarrierKey: secret.New(string(key)),
	}, nil
}

func newInstall() ([]byte, error) {
	random := func(n int) []byte {
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails; see crypto/rand
		return b
	}
	id := random(16)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // RFC 9562, section 5.4
	data, err := json.MarshalIndent(installFile{
		DeviceID:    fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		MachineID:   hex.EncodeToString(random(32)),
		ProxySecret: base64.RawURLEncoding.EncodeToString(random(24)),
		CarrierKey:  base64.StdEncoding.EncodeToString(random(32)),
	}, "", "  ")
	return append(data, '\n'), err
}
