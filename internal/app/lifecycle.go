package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// cleanups undo what New and Start did, the last first.
type cleanups struct{ list []cleanup }

type cleanup struct {
	name string
	run  func(context.Context) error
}

func (c *cleanups) add(name string, run func(context.Context) error) {
	c.list = append(c.list, cleanup{name, run})
}

// run undoes everything, even if some of it goes wrong or ctx has ended.
func (c *cleanups) run(ctx context.Context) error {
	var errs []error
	for _, step := range slices.Backward(c.list) {
		if err := step.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
	}
	c.list = nil
	return errors.Join(errs...)
}
