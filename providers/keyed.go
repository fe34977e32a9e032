package providers

import "context"

// Keyed is implemented by providers whose accounts are a key that the owner was given and pastes in.
type Keyed interface {
	Provider
	// KeyVariables are the environment variables that hold such a key by custom, the commonest first.
	KeyVariables() []string
	// KeyOptional says that an account may do without a key.
	KeyOptional() bool
	// Verify asks the upstream, at the least cost, whether it takes the account's key. Errors are *Error.
	Verify(ctx context.Context, a *Account) error
	// Locate is asked when Verify failed with err. Where the account's address has no such API, but the place below it
	// where such an API is by custom has, it returns that address; otherwise "".
	Locate(ctx context.Context, c AccountConfig, err error) string
}
