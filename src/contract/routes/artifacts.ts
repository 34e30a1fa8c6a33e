import * as z from 'zod'
import { ArtifactList } from '../run-api.ts'
import { MAX_ARTIFACT_BYTES } from '../tasks/artifact.ts'
import { content, routeTable } from './route.ts'

const tag = 'runs'
const params = z.object({ id: z.string().describe('The run') })
const query = z.object({ access_token: z.string().optional() })
const headers = z.object({
  range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
})
const bytes = {
  200: content('The whole', 'application/octet-stream'),
  206: content('The range', 'application/octet-stream'),
}

export const artifactRoutes = routeTable({
  'GET /api/runs/:id/artifacts': {
    who: 'user',
    tag,
    summary: 'What the run keeps beside its log',
    params,
    answers: { 200: ArtifactList },
  },
  'GET /api/runs/:id/artifacts/:artifact_id': {
    who: 'user',
    tag,
    summary: 'The bytes of an artifact, whole or by range; shown only where it is plain text or an image',
    tokenIn: 'query',
    head: true,
    params: params.extend({ artifact_id: z.string() }),
    query,
    headers,
    answers: bytes,
  },
  'GET /api/runs/:id/diff': {
    who: 'user',
    tag,
    summary: 'The change that the run has kept last, as a diff, or one commit of it as a patch',
    tokenIn: 'query',
    head: true,
    params,
    query: query.extend({
      commit: z.coerce.number().int().min(1).optional().describe('Which commit, from 1'),
    }),
    headers,
    answers: bytes,
  },
  'GET /api/runs/:id/attachments/:attachment_id': {
    who: 'user',
    tag,
    summary:
      'The bytes of a file that goes with a prompt of the run; shown only where it is plain text or an image',
    tokenIn: 'query',
    head: true,
    params: params.extend({ attachment_id: z.string() }),
    query,
    headers,
    answers: bytes,
  },
  'GET /api/runner-attachments/:run_id/:attachment_id': {
    who: 'runner',
    tag: 'runners',
    summary: 'Bytes that go with a prompt, for runners',
    params: z.object({ run_id: z.string(), attachment_id: z.string() }),
    answers: { 200: content('The whole', 'application/octet-stream') },
  },
  'PUT /api/runner-artifacts/:attempt_id': {
    who: 'runner',
    tag: 'runners',
    summary: 'Bytes that an attempt keeps, for runners; the same again changes nothing',
    archive: true,
    endless: true,
    bodyBytes: MAX_ARTIFACT_BYTES,
    params: z.object({ attempt_id: z.string() }),
    query: z.strictObject({
      sha256: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex'),
      bytes: z.coerce.number().int().min(0),
    }),
    answers: { 204: z.undefined() },
  },
  'GET /api/runner-artifacts/:run_id/:artifact_id': {
    who: 'runner',
    tag: 'runners',
    summary: 'Bytes that an attempt has kept, for runners',
    params: z.object({ run_id: z.string(), artifact_id: z.string() }),
    answers: { 200: content('The whole', 'application/octet-stream') },
  },
})
