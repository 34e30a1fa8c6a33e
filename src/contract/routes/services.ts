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
  summary: 'Whether the service is there',
  answers: { 200: ServiceHealth },
} as const
const bytes = {
  200: content('The whole', 'application/octet-stream'),
  206: content('The range', 'application/octet-stream'),
}
const stored = z.object({ id: z.string().describe('The last part of its `errand://artifact/…`') })
const slot = z.object({ id: z.string().describe('The slot') })
const fence = z.object({
  'if-match': z.string().max(300).optional().describe('The `fence` of its lease: another is refused'),
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
    summary: 'Repo pool: a checkout on a connected runner, for a time; the same holder has the same one',
    body: AllocateSlot,
    answers: { 200: AllocatedSlot },
  },
  'GET /api/pool/slots/:id': {
    who: 'user',
    tag,
    summary: 'Repo pool: how a slot stands',
    params: slot,
    answers: { 200: SlotView },
  },
  'POST /api/pool/slots/:id/release': {
    who: 'user',
    tag,
    summary: 'Repo pool: give a slot back; done before changes nothing',
    params: slot,
    headers: fence,
    answers: { 200: ReleasedSlot },
  },
  'POST /api/pool/slots/:id/renew': {
    who: 'user',
    tag,
    summary: 'Repo pool: its lease goes on from now',
    params: slot,
    headers: fence,
    body: RenewSlot.prefault({}),
    answers: { 200: AllocatedSlot },
  },
  'GET /api/store/health': health,
  'POST /api/store/artifacts': {
    who: 'user',
    tag,
    summary: 'Artifact store: a file, as a form or as it is; the same again for the same task answers 200',
    archive: true,
    form: ArtifactForm,
    endless: true,
    query: ArtifactQuery,
    headers: z.object({
      'content-sha256': z
        .string()
        .regex(/^[0-9a-f]{64}$/i, 'a SHA-256 in hex')
        .optional()
        .describe('Of the file: what has another is refused'),
    }),
    answers: { 201: StoredArtifact, 200: StoredArtifact },
  },
  'GET /api/store/artifacts/:id': {
    who: 'user',
    tag,
    summary: 'Artifact store: the file, whole or by range; shown only where it is plain text or an image',
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
    summary: 'Artifact store: what a run has kept, as the URIs of its artifacts name it',
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
