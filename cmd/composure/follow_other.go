//go:build !linux

package main

import (
	"context"
	"errors"
)

// changes tells nothing here.
func changes(context.Context, []string) (<-chan struct{}, error) { return nil, errors.ErrUnsupported }
