import * as z from 'zod'
import {
  AllocatedSlot,
  AllocateSlot,
  ArtifactForm,
  ArtifactQuery,
  ReleasedSlot,
  RenewSlot,
  ServiceHealth,
  SlotView,
  StoredArtifact,
} from '../tasks/services.ts'
import { content, routeTable } from './route.ts'

const tag = 'tasks'
const health = {
  who: 'anyone',
  tag,
  summary: 'Whether the service is available',
  answers: { 200: ServiceHealth },
} as const
const bytes = {
  200: content('All of it', 'application/octet-stream'),
  206: content('The requested range', 'application/octet-stream'),
}
const stored = z.object({ id: z.string().describe('The last part of its URI `errand://artifact/…`') })
const slot = z.object({ id: z.string().describe('The slot') })
const fence = z.object({
  'if-match': z.string().max(300).optional().describe('The `fence` of its lease; any other value is refused'),
})
const query = z.object({ access_token: z.string().optional() })
const range = z.object({
  range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
})

/** The services that runners of coding tasks use in addition to the registry, under the paths of older systems. */
export const serviceRoutes = routeTable({
  'GET /api/registry/health': health,
  'GET /api/pool/health': health,
  'POST /api/pool/slots/allocate': {
    who: 'user',
    tag,
    summary: 'Repo pool: lease a checkout on a connected runner; the same holder gets the same one',
    body: AllocateSlot,
    answers: { 200: AllocatedSlot },
  },
  'GET /api/pool/slots/:id': {
    who: 'user',
    tag,
    summary: 'Repo pool: the state of a slot',
    params: slot,
    answers: { 200: SlotView },
  },
  'POST /api/pool/slots/:id/release': {
    who: 'user',
    tag,
    summary: 'Repo pool: return a slot; returning it again changes nothing',
    params: slot,
    headers: fence,
    answers: { 200: ReleasedSlot },
  },
  'POST /api/pool/slots/:id/renew': {
    who: 'user',
    tag,
    summary: 'Repo pool: renew the lease of a slot from now on',
    params: slot,
    headers: fence,
    body: RenewSlot.prefault({}),
    answers: { 200: AllocatedSlot },
  },
  'GET /api/store/health': health,
  'POST /api/store/artifacts': {
    who: 'user',
    tag,
    summary:
      'Artifact store: store a file, sent as a form or as the body; the same file again for the same task answers 200',
    archive: true,
    form: ArtifactForm,
    endless: true,
    query: ArtifactQuery,
    headers: z.object({
      'content-sha256': z
        .string()
        .regex(/^[0-9a-f]{64}$/i, 'a SHA-256 in hex')
        .optional()
        .describe('SHA-256 of the file; a file with another one is refused'),
    }),
    answers: { 201: StoredArtifact, 200: StoredArtifact },
  },
  'GET /api/store/artifacts/:id': {
    who: 'user',
    tag,
    summary: 'Artifact store: a file, all of it or a range; browsers show only plain text and images',
    tokenIn: 'query',
    head: true,
    params: stored,
    query,
    headers: range,
    answers: bytes,
  },
  'GET /api/store/artifacts/:run_id/:artifact_id': {
    who: 'user',
    tag,
    summary: 'Artifact store: an artifact of a run, by the URI of the artifact',
    tokenIn: 'query',
    head: true,
    params: z.object({ run_id: z.string(), artifact_id: z.string() }),
    query,
    headers: range,
    answers: bytes,
  },
  'DELETE /api/store/artifacts/:id': {
    who: 'user',
    tag,
    summary: 'Artifact store: remove a file',
    params: stored,
    answers: { 204: z.undefined() },
  },
})
