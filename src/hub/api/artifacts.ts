import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { ListedArtifact } from '../../contract/run-api.ts'
import { lastChange, patchOf } from '../../contract/tasks/task-change.ts'
import type { TaskFold } from '../../engine/tasks/evolve-task.ts'
import { attachmentOf } from '../agents/prompt-attachments.ts'
import type { ApiContext } from './api-context.ts'
import { readableRun } from './http/access.ts'
import { sendRange } from './http/ranged-content.ts'
import type { Handlers } from './http/routes.ts'
import { requesterOf } from './tasks.ts'

export function artifactHandlers({ engine, tasks, artifacts, stored, streams, log }: ApiContext) {
  /**
   * Returns an attachment of a prompt of the run. One that the run's request named must belong to the run's owner, so
   * that nobody can name another user's in a workflow.
   */
  const attachedTo = async (run: RunRecord, id: string) => {
    const { id: found, byOwner } = await attachmentOf(engine, run, id)
    const record = await stored.attached(run.tenant, found)
    if (!byOwner || record.owner === run.owner) return record
    throw new ErrandError('not_found', `Attachment "${id}" not found in the prompts of run "${run.run_id}".`)
  }
  const send = (
    reply: FastifyReply,
    run: RunRecord,
    artifact: ListedArtifact,
    { user, onlyHead, range }: { user: string; onlyHead: boolean; range: string | undefined },
  ) =>
    sendRange(
      reply,
      {
        ...{ user, onlyHead, range },
        length: artifact.bytes,
        headers: contentHeaders(artifact),
        name: `The artifact ${artifact.artifact_id} of ${run.run_id}`,
        read: (start, end) => artifacts.open(run, artifact, { start, end }),
      },
      { streams, log },
    )

  return {
    'GET /api/runs/:id/artifacts': async ({ identity, params }) => {
      const { run_id } = await readableRun(engine, identity, params.id)
      return { run_id, artifacts: await artifacts.list(run_id) }
    },

    'GET /api/runs/:id/artifacts/:artifact_id': async ({ identity, params, headers, method }, reply) => {
      const run = await readableRun(engine, identity, params.id)
      const artifact = await artifacts.find(run.run_id, params.artifact_id)
      const request = { user: identity.user.id, onlyHead: method === 'HEAD', range: headers.range }
      return void (await send(reply, run, artifact, request))
    },

    'GET /api/store/artifacts/:run_id/:artifact_id': async ({ identity, params, headers, method }, reply) => {
      const run = await readableRun(engine, identity, params.run_id)
      const artifact = await artifacts.find(run.run_id, params.artifact_id)
      const request = { user: identity.user.id, onlyHead: method === 'HEAD', range: headers.range }
      return void (await send(reply, run, artifact, request))
    },

    'GET /api/runs/:id/attachments/:attachment_id': async ({ identity, params, headers, method }, reply) => {
      const run = await readableRun(engine, identity, params.id)
      const record = await attachedTo(run, params.attachment_id)
      await sendRange(
        reply,
        {
          ...{ user: identity.user.id, onlyHead: method === 'HEAD', range: headers.range },
          length: record.bytes,
          headers: contentHeaders(record),
          name: `The attachment ${record.id}`,
          read: (start, end) => stored.open(record, { start, end }),
        },
        { streams, log },
      )
      return undefined
    },

    'GET /api/runner-attachments/:run_id/:attachment_id': async ({ runnerTenant, params }, reply) => {
      const run = await engine.get(params.run_id)
      if (run?.tenant !== runnerTenant)
        throw new ErrandError('not_found', `Run "${params.run_id}" not found.`)
      const record = await attachedTo(run, params.attachment_id)
      reply
        .header('content-length', record.bytes)
        .header('cache-control', 'no-store')
        .type('application/octet-stream')
      return reply.send(Readable.from(await stored.open(record)) as unknown as string)
    },

    'GET /api/runs/:id/diff': async ({ identity, params, query, headers, method }, reply) => {
      const run = await readableRun(engine, identity, params.id)
      const artifact = await artifacts.diff(run.run_id, query.commit)
      const request = { user: identity.user.id, onlyHead: method === 'HEAD', range: headers.range }
      return void (await send(reply, run, artifact, request))
    },

    'GET /api/tasks/:id/diff': async ({ identity, params, query, headers, method }, reply) => {
      const task = await tasks.get({ by: requesterOf(identity), ref: params.id })
      const { run_id, artifact } = changeOf(task, query.commit)
      const run = await engine.get(run_id)
      if (run === undefined)
        throw new ErrandError('not_found', `Run ${run_id}, which made the change, was deleted.`)
      const listed = await artifacts.find(run_id, artifact.artifact_id)
      const request = { user: identity.user.id, onlyHead: method === 'HEAD', range: headers.range }
      return void (await send(reply, run, listed, request))
    },

    'PUT /api/runner-artifacts/:attempt_id': async ({ runnerTenant, params, query, body }) => {
      // An empty file has no body to send.
      const content = (body as Readable | undefined) ?? Readable.from([])
      await artifacts.put(runnerTenant, params.attempt_id, query, content)
    },

    'GET /api/runner-artifacts/:run_id/:artifact_id': async ({ runnerTenant, params }, reply) => {
      const { artifact, content } = await artifacts.openFor(runnerTenant, params.run_id, params.artifact_id)
      reply
        .header('content-length', artifact.bytes)
        .header('cache-control', 'no-store')
        .type('application/octet-stream')
      return reply.send(Readable.from(content) as unknown as string)
    },
  } satisfies Partial<Handlers>
}

/** Returns the diff of the task's last change, or the patch of one of its commits. Throws `not_found`. */
function changeOf(
  { id, fold }: { id: string; fold: Pick<TaskFold, 'artifacts'> },
  commit: number | undefined,
) {
  const change = lastChange(fold.artifacts)
  if (change === undefined)
    throw new ErrandError('not_found', `No try of task ${id} has saved a change.`, {
      hint: `A try saves its change when it exports it from the box. See where the task is with: errand task show ${id}`,
    })
  const artifact = commit === undefined ? change.diff : patchOf(change, commit)
  if (artifact === undefined)
    throw new ErrandError('not_found', `The change of task ${id} has no patch for commit ${commit}.`, {
      hint: `List the artifacts with: errand task artifacts ${id}`,
    })
  return { run_id: change.run_id, artifact }
}

/** Types without scripts, which a browser may show. All others can only be saved. */
const SHOWN = /^(text\/(plain|x-diff|x-patch|csv|markdown)|application\/json|image\/(png|jpeg|gif|webp))(;|$)/

/** Returns the headers for content from others. */
export function contentHeaders({
  name,
  media_type,
}: Pick<ListedArtifact, 'name' | 'media_type'>): Record<string, string> {
  const file = name.slice(name.lastIndexOf('/') + 1)
  const disposition = SHOWN.test(media_type) ? 'inline' : 'attachment'
  const plain = file.replace(/[^\w.-]/g, '_')
  return {
    // A text that a person wrote could contain another header.
    'content-type': /^[\w.+-]+\/[\w.+-]+(; ?[\w-]+=[\w-]+)?$/.test(media_type)
      ? media_type
      : 'application/octet-stream',
    'content-disposition': `${disposition}; filename="${plain}"; filename*=UTF-8''${encoded(file)}`,
    'content-security-policy': "sandbox; default-src 'none'",
  }
}

const encoded = (text: string): string =>
  encodeURIComponent(text.toWellFormed()).replace(/['()*]/g, (each) => `%${each.charCodeAt(0).toString(16)}`)
