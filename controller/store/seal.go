package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// ErrKey says that the key file is missing, damaged, readable to others, or not the one this store was sealed with.
var ErrKey = errors.New("the key file does not fit")

const keySize = 32 // AES-256

// sealer encrypts what may hold secrets. Its key is in the state directory and never in the database.
type sealer struct{ aead cipher.AEAD }

// openKey reads the key file and checks it against the fingerprint in the store; the first process creates both.
func (s *Store) openKey(ctx context.Context) error {
	want, err := s.fingerprint(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "key")
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if want != "" {
			return fmt.Errorf("%w: %s is missing; copy it from the host that created this store or from a backup, or start with an empty store", ErrKey, path)
		}
		key, err = createKey(path)
	}
	if err != nil {
		return err
	}
	have := fingerprint(key)
	if want == "" {
		if want, err = s.saveFingerprint(ctx, have); err != nil {
			return err
		}
	}
	if have != want {
		return fmt.Errorf("%w: %s is not the key that this store was sealed with; copy that from the host that created it or from a backup, or start with an empty store", ErrKey, path)
	}
	s.identity = have
	s.key, err = newSealer(key)
	return err
}

func (s *Store) fingerprint(ctx context.Context) (string, error) {
	var value string
	err := s.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'key'`).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read the key's fingerprint: %w", err)
	}
	return value, nil
}

// saveFingerprint keeps the first fingerprint and returns the one that is kept.
func (s *Store) saveFingerprint(ctx context.Context, value string) (string, error) {
	err := s.exec(ctx, "save the key's fingerprint",
		`INSERT INTO meta (name, value) VALUES ('key', $1) ON CONFLICT (name) DO NOTHING`, value)
	if err != nil {
		return "", err
	}
	return s.fingerprint(ctx)
}

// fingerprint tells keys apart and reveals nothing of them.
func fingerprint(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("composure key"))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s is readable to others (mode %04o); chmod 600 it", ErrKey, path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%w: %s is damaged: it must hold %d hexadecimal digits", ErrKey, path, 2*keySize)
	}
	return key, nil
}

// createKey makes a key file that exists whole or not at all. Of several processes at once one wins, and all return its key.
func createKey(path string) ([]byte, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)                                  // never fails: the program ends instead
	tmp, err := os.CreateTemp(filepath.Dir(path), "key.*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("create the key file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("create the key file: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the key file: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("create the key file: %w", err)
	}
	return readKey(path)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("use the key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("use the key: %w", err)
	}
	return sealer{aead}, nil
}

// seal encrypts plain for one row: moved to another row it does not open. Empty stays empty.
func (k sealer) seal(row string, plain []byte) []byte {
	if len(plain) == 0 {
		return []byte{}
	}
	return k.aead.Seal(nil, nil, plain, []byte(row))
}

// open is the reverse of seal; ErrKey when the data was sealed with another key, for another row, or was changed.
func (k sealer) open(row string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	plain, err := k.aead.Open(nil, nil, sealed, []byte(row))
	if err != nil {
		return nil, fmt.Errorf("unseal %s: %w", row, ErrKey)
	}
	return plain, nil
}

// A compressor is most of a megabyte, and what is packed a few kilobytes.
var (
	writers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	readers = sync.Pool{New: func() any { return new(gzip.Reader) }}
)

// pack compresses, then seals: for what is large.
func (k sealer) pack(row string, plain []byte) ([]byte, error) {
	var b bytes.Buffer
	z := writers.Get().(*gzip.Writer)
	defer writers.Put(z)
	z.Reset(&b)
	_, err := z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("compress %s: %w", row, err)
	}
	return k.seal(row, b.Bytes()), nil
}

// unpack is the reverse of pack.
func (k sealer) unpack(row string, packed []byte) ([]byte, error) {
	b, err := k.open(row, packed)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	z := readers.Get().(*gzip.Reader)
	defer readers.Put(z)
	if err := z.Reset(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("decompress %s: %w", row, err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", row, err)
	}
	return plain, nil
}
