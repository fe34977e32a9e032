package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"detour/internal/config"
	"detour/internal/privfile"
	"detour/providers/metadata"
)

const (
	maxModelCatalogue     = 64 << 20
	modelCatalogueTimeout = time.Minute
)

// metadataFile is where newer model metadata is kept.
func metadataFile(paths config.Paths) string { return filepath.Join(paths.Data, "models.json") }

// metadata is what is known of models beside what upstreams tell. A file that cannot be read is told and passed over.
func (u *Upstream) metadata(o Options) *metadata.Data {
	builtin := metadata.Builtin()
	file := metadataFile(o.Paths)
	raw, _, err := privfile.ReadShared(file)
	if errors.Is(err, fs.ErrNotExist) {
		return builtin
	}
	var d *metadata.Data
	if err == nil {
		d, err = metadata.Parse(raw)
	}
	if err != nil {
		u.about = append(u.about, fmt.Sprintf("%s is not used, and what came with detour is: %v; get it anew with `detour update --models`", file, err))
		return builtin
	}
	return d.Over(builtin)
}

// UpdateModels gets newer model metadata from url. Where that fails in any way, what is there stays.
func (u *Upstream) UpdateModels(ctx context.Context, url string, paths config.Paths) (file string, d *metadata.Data, err error) {
	ctx, cancel := context.WithTimeout(ctx, modelCatalogueTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", nil, fmt.Errorf("get model catalogue: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "detour")
	resp, err := (&http.Client{Transport: u.Transport}).Do(req)
	if err != nil {
		return "", nil, fmt.Errorf("get model catalogue: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("get model catalogue: %s answered %s", req.URL.Host, resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxModelCatalogue+1))
	if err != nil {
		return "", nil, fmt.Errorf("get model catalogue: %w", err)
	}
	if len(raw) > maxModelCatalogue {
		return "", nil, fmt.Errorf("get model catalogue: the answer exceeds %d bytes", maxModelCatalogue)
	}
	if d, err = metadata.Parse(raw); err != nil {
		return "", nil, err
	}
	kept, err := d.Encode()
	if err != nil {
		return "", nil, err
	}
	if len(kept) > privfile.MaxSize {
		return "", nil, fmt.Errorf("get model catalogue: what matters of it exceeds %d bytes", privfile.MaxSize)
	}
	file = metadataFile(paths)
	return file, d, privfile.Write(file, kept)
}
