-- From what a service's image was built, as far as a deployment built it.

-- +goose Up
ALTER TABLE revision_services ADD COLUMN git_commit TEXT NOT NULL DEFAULT '';
ALTER TABLE revision_services ADD COLUMN git_dirty BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE revision_services DROP COLUMN git_dirty;
ALTER TABLE revision_services DROP COLUMN git_commit;
