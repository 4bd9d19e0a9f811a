-- What retention looks for: applications and endpoints that were removed, tasks that have ended.
CREATE INDEX app_removed ON app (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX endpoint_removed ON endpoint (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX task_ended ON task (updated_at) WHERE status <> 'running';
