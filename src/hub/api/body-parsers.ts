import { ErrandError } from '../../contract/errors.ts'
import { isNestedDeeper } from '../../platform/nesting.ts'
import type { ApiApp } from './api-context.ts'
import { refusedName } from './refused-name.ts'

/** What is deeper is read, but cannot surely be gone through on the stack. */
const MOST_DEEP = 1_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Takes an archive as its body, as a stream. */
    archive?: boolean
  }
}

/** JSON, where an empty body is none; and YAML, which stands for `{yaml: <the text>}`. */
export function readBodies(app: ApiApp): void {
  const json = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, undefined)
    json(request, body as string, (error, value) => {
      if (error === null) return isNestedDeeper(value, MOST_DEEP) ? done(tooDeep()) : done(null, value)
      const refused = refusedName(body as string)
      if (refused) return done(refused)
      done(
        new ErrandError('bad_request', `The body is not valid JSON: ${withoutBody(error.message)}`, {
          hint: 'Send JSON with the content type application/json; a workflow may be sent as application/yaml.',
        }),
      )
    })
  })
  // Read by the route, as they come.
  const archives = [
    'application/zip',
    'application/gzip',
    'application/x-gzip',
    'application/x-tar',
    'application/octet-stream',
  ]
  app.addContentTypeParser(archives, (request, payload, done) => {
    if (request.routeOptions.config.archive) return done(null, payload)
    done(
      new ErrandError(
        'unsupported_media_type',
        `A body of ${request.headers['content-type']} is not taken here.`,
        {
          hint: 'Send JSON.',
        },
      ),
    )
  })
  const yaml = ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml']
  app.addContentTypeParser(yaml, { parseAs: 'string' }, (_request, body, done) => done(null, { yaml: body }))
}

const tooDeep = (): ErrandError =>
  new ErrandError('bad_request', `The body is over ${MOST_DEEP} lists or objects deep.`, {
    hint: 'Send it flatter: what is deep may stand in a text.',
  })

/** A parser's message without the part of the body that it shows: a body may hold a secret. */
const withoutBody = (message: string): string =>
  message.replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, '')
