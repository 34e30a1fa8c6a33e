import * as z from 'zod'

/**
 * The three services that a coding-task runner uses have the paths, fields and answers of its first system. The hub
 * serves each, and a runner can be pointed at other implementations.
 */

/** Most bytes of an event's data, as JSON, and most events of one task. */
export const MAX_EVENT_BYTES = 64 * 1024
export const MAX_TASK_EVENTS = 10_000

/** Task registry: `PUT /tasks/{id}/status`. Accepts any system's word for a state. */
export const SetTaskStatus = z.strictObject({
  status: z.string().min(1).max(100),
  metadata: z.record(z.string(), z.unknown()).optional(),
})
/** Task registry: `POST /tasks/{id}/events`. */
export const AddTaskEvent = z.strictObject({
  event_type: z.string().min(1).max(200),
  data: z.unknown().optional(),
  event_id: z.string().min(1).max(200).optional().describe('Sending the same id again changes nothing'),
})
/** Task registry: `POST /tasks/{id}/artifacts`. */
export const AddTaskArtifact = z.strictObject({
  type: z.string().min(1).max(100),
  uri: z.string().min(1).max(4096),
  size_bytes: z.number().min(0).optional(),
})

/** Repo pool: `POST /slots/allocate`. */
export const AllocateSlot = z.strictObject({
  repo_url: z.string().min(1).max(2000),
  required_by: z.string().min(1).max(200).describe('Who holds the slot: the same holder gets the same slot'),
  timeout_seconds: z.number().min(0).max(3600).optional().describe('How long to wait for a free slot'),
  ref: z.string().min(1).max(1000).optional(),
  runner: z.string().min(1).max(200).optional(),
  lease_seconds: z
    .number()
    .int()
    .min(1)
    .max(7 * 86_400)
    .default(3600),
})
export const AllocatedSlot = z.object({
  slot_id: z.string(),
  slot_path: z.string(),
  runner: z.string().optional(),
  lease_expires_at: z.string().optional(),
  fence: z.string().optional().describe('Identifies this lease; send it as `If-Match` to release the slot'),
})
export type AllocatedSlot = z.infer<typeof AllocatedSlot>

/** Repo pool: `GET /slots/{id}`. */
export const SlotView = z.object({
  slot_id: z.string(),
  slot_path: z.string(),
  runner: z.string().optional(),
  repo_url: z.string().optional(),
  state: z.enum(['free', 'leased', 'preparing', 'ready', 'used', 'resetting', 'damaged']),
  held_by: z.string().optional(),
  lease_expires_at: z.string().optional(),
  bytes: z.number().optional(),
  last_used_at: z.string().optional(),
})
export type SlotView = z.infer<typeof SlotView>

/** Repo pool: `POST /slots/{id}/release` and `/renew`. */
export const RenewSlot = z.strictObject({ lease_seconds: AllocateSlot.shape.lease_seconds })
export const ReleasedSlot = z.object({ slot_id: z.string(), state: z.literal('free') })

/** Artifact store: the answer of `POST /artifacts`. */
export const StoredArtifact = z.object({
  uri: z.string().describe('`errand://artifact/<id>`; fetch it from `<hub>/api/store/artifacts/<id>`'),
})
export type StoredArtifact = z.infer<typeof StoredArtifact>

/** Artifact store: `POST /artifacts` as a form. */
export const ArtifactForm = z.object({
  file: z.string().meta({ format: 'binary' }),
  type: z.string().min(1).max(100).optional().describe('Such as `diff`, `log` or `test`; default `file`'),
  metadata: z
    .string()
    .optional()
    .describe('A JSON object; its `task_id` names the task that the file is for'),
})
/** Artifact store: `POST /artifacts` with the file itself as the body. */
export const ArtifactQuery = z.strictObject({
  type: z.string().min(1).max(100).optional(),
  name: z.string().min(1).max(1000).optional(),
  task_id: z.string().max(300).optional(),
  media_type: z.string().min(1).max(200).optional().describe('Default `application/octet-stream`'),
})
export type ArtifactQuery = z.infer<typeof ArtifactQuery>

/** A service's `GET /health`. */
export const ServiceHealth = z.object({ status: z.literal('ok') })
