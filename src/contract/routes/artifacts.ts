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
  200: content('All of it', 'application/octet-stream'),
  206: content('The requested range', 'application/octet-stream'),
}

export const artifactRoutes = routeTable({
  'GET /api/runs/:id/artifacts': {
    who: 'user',
    tag,
    summary: 'List the artifacts of a run',
    params,
    answers: { 200: ArtifactList },
  },
  'GET /api/runs/:id/artifacts/:artifact_id': {
    who: 'user',
    tag,
    summary: 'The bytes of an artifact, all of them or a range; browsers show only plain text and images',
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
    summary: 'The last change that the run has stored, as a diff, or one of its commits as a patch',
    tokenIn: 'query',
    head: true,
    params,
    query: query.extend({
      commit: z.coerce.number().int().min(1).optional().describe('Number of the commit, from 1'),
    }),
    headers,
    answers: bytes,
  },
  'GET /api/runs/:id/attachments/:attachment_id': {
    who: 'user',
    tag,
    summary: 'The bytes of a file sent with a prompt of the run; browsers show only plain text and images',
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
    summary: 'The bytes of a file sent with a prompt, for runners',
    params: z.object({ run_id: z.string(), attachment_id: z.string() }),
    answers: { 200: content('All of it', 'application/octet-stream') },
  },
  'PUT /api/runner-artifacts/:attempt_id': {
    who: 'runner',
    tag: 'runners',
    summary: 'Store an artifact of an attempt, for runners; sending the same again changes nothing',
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
    summary: 'The bytes of an artifact of an attempt, for runners',
    params: z.object({ run_id: z.string(), artifact_id: z.string() }),
    answers: { 200: content('All of it', 'application/octet-stream') },
  },
})
