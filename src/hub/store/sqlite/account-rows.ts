import type { SQLOutputValue } from 'node:sqlite'
import type { IdempotencyKey, Role, SeenRunner, Session, Token, TokenScope, User } from '../accounts.ts'

export type Row = Record<string, SQLOutputValue>

const text = (row: Row, column: string): string => String(row[column])
const optional = <K extends string>(key: K, value: SQLOutputValue | undefined): { [k in K]?: string } =>
  (value === null || value === undefined ? {} : { [key]: String(value) }) as { [k in K]?: string }

export const rowUser = (row: Row): User => ({
  id: text(row, 'id'),
  name: text(row, 'name'),
  role: text(row, 'role') as Role,
  tenant: text(row, 'tenant'),
  password_hash: text(row, 'password_hash'),
  created_at: text(row, 'created_at'),
  disabled: row.disabled === 1,
})

export const rowSession = (row: Row): Session => ({
  id: text(row, 'id'),
  user_id: text(row, 'user_id'),
  created_at: text(row, 'created_at'),
  expires_at: text(row, 'expires_at'),
})

export const rowToken = (row: Row): Token => ({
  id: text(row, 'id'),
  name: text(row, 'name'),
  ...optional('user_id', row.user_id),
  ...optional('tenant', row.tenant),
  ...optional('created_by', row.created_by),
  scope: text(row, 'scope') as TokenScope,
  token_sha256: text(row, 'token_sha256'),
  created_at: text(row, 'created_at'),
  ...optional('last_used_at', row.last_used_at),
  ...optional('expires_at', row.expires_at),
  ...optional('revoked_at', row.revoked_at),
  ...optional('group', row.runner_group),
  ...optional('runner_id', row.runner_id),
  ...optional('used_at', row.used_at),
})

export const rowKey = (row: Row): IdempotencyKey => ({
  key: text(row, 'key'),
  owner: text(row, 'owner'),
  request_hash: text(row, 'request_hash'),
  run_id: text(row, 'run_id'),
  created_at: text(row, 'created_at'),
})

export const rowRunner = (row: Row): SeenRunner => ({
  id: text(row, 'id'),
  group: text(row, 'runner_group'),
  hostname: text(row, 'hostname'),
  cpus: Number(row.cpus),
  memory_bytes: Number(row.memory_bytes),
  labels: JSON.parse(text(row, 'labels')) as Record<string, string>,
  mode: text(row, 'mode'),
  version: text(row, 'version'),
  slots: Number(row.slots),
  tenant: text(row, 'tenant'),
  draining: row.draining === 1,
  first_seen_at: text(row, 'first_seen_at'),
  last_seen_at: text(row, 'last_seen_at'),
})
