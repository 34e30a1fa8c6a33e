import { Readable } from 'node:stream'
import { ErrandError } from '../../../contract/errors.ts'
import { ArtifactName } from '../../../contract/tasks/artifact.ts'
import { ArtifactForm, type ArtifactQuery } from '../../../contract/tasks/services.ts'
import { isNestedDeeper } from '../../../platform/untrusted-input.ts'
import type { Received } from '../../../stores/artifacts/artifact-store.ts'
import type { ToBeStored } from '../../artifacts/stored-artifacts.ts'
import type { ApiContext } from '../api-context.ts'
import { contentHeaders } from '../artifacts.ts'
import { sendRange } from '../http/ranged-content.ts'
import { checked } from '../http/request-validator.ts'
import type { Handlers } from '../http/routes.ts'
import { requesterOf } from '../tasks.ts'

/** Limits the depth of metadata. */
const MOST_DEEP = 100
const ANY = 'application/octet-stream'
/** Limits the files that a user may be uploading at once. */
const MOST_AT_ONCE = 16
const uriOf = (id: string) => ({ uri: `errand://artifact/${id}` })

/** Serves the artifact store with the path and fields that older systems know. */
export function artifactServiceHandlers({ stored, contents, streams, log }: ApiContext) {
  const comings = new Comings()
  const receive = (content: Readable) => contents.receive(content)
  const discard = (received: Received) => received.discard()

  return {
    'GET /api/store/health': () => ({ status: 'ok' as const }),
    'GET /api/registry/health': () => ({ status: 'ok' as const }),

    'POST /api/store/artifacts': async ({ identity, query, headers, body }, reply) => {
      const content = (body as Readable | undefined) ?? Readable.from([])
      const type = String((headers as Record<string, unknown>)['content-type'] ?? '')
      using _ = comings.begin(identity.user.id)
      const { received, described } = /^multipart\/form-data/i.test(type)
        ? await ofForm(content, type)
        : { received: await receive(content), described: () => ofQuery(query) }
      try {
        const checksum = headers['content-sha256']?.toLowerCase()
        if (checksum !== undefined && checksum !== received.sha256)
          throw new ErrandError(
            'bad_request',
            `The received file has the SHA-256 ${received.sha256}, not ${checksum}.`,
            {
              hint: 'Send it again. Content-SHA256 must be the SHA-256 of the file alone.',
            },
          )
        const { id, isNew } = await stored.add(requesterOf(identity), received, described())
        reply.code(isNew ? 201 : 200)
        return uriOf(id)
      } finally {
        await received.discard()
      }
    },

    'GET /api/store/artifacts/:id': async ({ identity, params, headers, method }, reply) => {
      const record = await stored.get(requesterOf(identity), params.id)
      await sendRange(
        reply,
        {
          ...{ user: identity.user.id, onlyHead: method === 'HEAD', range: headers.range },
          length: record.bytes,
          headers: contentHeaders(record),
          name: `The artifact ${record.id}`,
          read: (start, end) => stored.open(record, { start, end }),
        },
        { streams, log },
      )
      return undefined
    },

    'DELETE /api/store/artifacts/:id': async ({ identity, params }) => {
      await stored.remove(requesterOf(identity), params.id)
    },
  } satisfies Partial<Handlers>

  async function ofForm(
    body: Readable,
    contentType: string,
  ): Promise<{ received: Received; described(): ToBeStored }> {
    // The parser is loaded with the first form.
    const { readForm } = await import('../http/form-reader.ts')
    const { file, fields, ...named } = await readForm(body, contentType, { receive, discard })
    return {
      received: file,
      described() {
        const described = checked(
          ArtifactForm.pick({ type: true, metadata: true }),
          Object.fromEntries(fields),
          'form',
        )
        return describedArtifact({ ...described, ...named, metadata: metadataOf(described.metadata) })
      },
    }
  }
}

/**
 * Counts the uploads in progress. They count toward no quota before they are complete, so a user may not start any
 * number of them.
 */
class Comings {
  readonly #byUser = new Map<string, number>()

  begin(user: string): Disposable {
    const count = (this.#byUser.get(user) ?? 0) + 1
    if (count > MOST_AT_ONCE)
      throw new ErrandError('rate_limited', `You are already uploading ${MOST_AT_ONCE} files.`, {
        hint: 'Wait until one of the uploads has ended.',
      })
    this.#byUser.set(user, count)
    return {
      [Symbol.dispose]: () => {
        const left = this.#byUser.get(user)! - 1
        if (left === 0) this.#byUser.delete(user)
        else this.#byUser.set(user, left)
      },
    }
  }
}

const ofQuery = ({ type, name = '', task_id, media_type = ANY }: ArtifactQuery) =>
  describedArtifact({ type, name, media_type, metadata: task_id === undefined ? {} : { task_id } })

/** Reads the fields of an upload. Throws `bad_request`. */
function describedArtifact({
  type = 'file',
  name,
  media_type,
  metadata,
}: Omit<ToBeStored, 'type'> & { type?: string }): ToBeStored {
  const own = name === '' ? type : name
  if (!ArtifactName.safeParse(own).success)
    throw new ErrandError('bad_request', 'The name of the file is not valid.', {
      hint: 'Use the path of a file without "." and "..", for example out/report.html.',
    })
  return { type, name: own, media_type, metadata }
}

function metadataOf(text: string | undefined): Record<string, unknown> {
  if (text === undefined || text === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Handled like something that is not an object.
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isObject && !isNestedDeeper(value, MOST_DEEP)) return value as Record<string, unknown>
  throw new ErrandError(
    'bad_request',
    `form.metadata is not a JSON object, or is nested more than ${MOST_DEEP} levels deep.`,
    {
      hint: 'Write it as {"task_id": "7"}.',
    },
  )
}
