import { ErrandError } from '../../contract/errors.ts'
import type { ApiApp } from './api-context.ts'
import { refusedName } from './refused-name.ts'

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
      if (error === null) return done(null, value)
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
  const archives = ['application/gzip', 'application/x-gzip', 'application/x-tar', 'application/octet-stream']
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

/** A parser's message without the part of the body that it shows: a body may hold a secret. */
const withoutBody = (message: string): string =>
  message.replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, '')
