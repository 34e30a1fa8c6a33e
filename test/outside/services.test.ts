import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { internal, outsideServices } from './services.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** Matches the code with which a source file opens connections, by the module that it uses for that. */
const modules: Readonly<Record<string, RegExp>> = {
  http: /\b(request|get)\b|\*/,
  https: /\b(request|get)\b|\*/,
  http2: /\bconnect\b|\*/,
  net: /\b(connect|createConnection|Socket)\b|\*/,
  tls: /\bconnect\b|\*/,
  dns: /\S/,
  'dns/promises': /\S/,
  dgram: /\S/,
}
const calls = [
  /(?<![.#\w]|function |async )fetch\(/,
  /(?<!typeof )\bglobalThis\.fetch\b/,
  /\bimport\('(node:https?|node:net|node:tls|node:dns|nodemailer|undici)'\)/,
  /\bnew (WebSocket|EventSource|DockerClient)\(/,
  /(?<!function )\baskVersion\(/,
  // Git over the network.
  /\['(fetch|ls-remote|clone|push)',|\.\.\.\['push',|= \['fetch',/,
  /\b(execFile|spawn)\('npm'/,
]

/** Returns the first sign that the text opens connections, or undefined if there is none. */
function signIn(text: string): string | undefined {
  for (const [, names = '', module] of text.matchAll(
    /^import ((?!type )[^'"]*?) from '(?:node:)?([^']+)'/gm,
  )) {
    const values = names.replace(/\btype \w+( as \w+)?,?/g, '')
    const opens = modules[module!]
    if (opens?.test(values) || module === 'nodemailer' || module === 'undici') return `imports ${module}`
  }
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  const [found] = calls.flatMap((call) => call.exec(code)?.[0] ?? [])
  return found
}

const sources = globSync('src/**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'))
const opening = new Map(
  sources.flatMap((file) => {
    const sign = signIn(read(file))
    return sign === undefined ? [] : [[file, sign] as const]
  }),
)

test('each file that opens connections is a client of an outside service in the table, or internal', () => {
  const listed = new Set([...outsideServices.flatMap(({ clients }) => clients), ...Object.keys(internal)])
  const missing = [...opening]
    .filter(([file]) => !listed.has(file))
    .map(
      ([file, sign]) =>
        `${file} opens connections (${sign}) and stands in no row of test/outside/services.ts. Add it to the row of the service that it speaks to, or a row with a test; or name it as internal, with the reason.`,
    )
  assert.deepEqual(missing, [])
  const stale = [...listed].filter((file) => !opening.has(file))
  assert.deepEqual(
    stale,
    [],
    'these files no longer open a connection: remove them from test/outside/services.ts',
  )
})

test('each row of the table goes through all failures in the test that it names', () => {
  for (const { name, driven } of outsideServices) {
    assert.ok(existsSync(join(root, driven)), `${driven}, which should test "${name}", does not exist`)
    assert.ok(
      read(driven).includes(`throughManners(t, '${name}'`),
      `${driven} does not call throughManners(t, '${name}', …)`,
    )
  }
})

test('the patterns find each way to open a connection, and no type and no server', () => {
  const opens = [
    "const answer = await fetch(url, { method: 'POST' })",
    'this.#fetch = options.fetch ?? globalThis.fetch',
    "import { request as httpRequest, type IncomingMessage } from 'node:http'",
    "import * as http from 'node:http'",
    "import {\n  Agent,\n  request,\n} from 'node:https'",
    "import { lookup } from 'node:dns/promises'",
    "import { connect, isIP } from 'node:net'",
    "const { createTransport } = await import('nodemailer')",
    'const ws = new WebSocket(options.url)',
    "await git(['fetch', '--', url], options, text)",
    'const docker = new DockerClient(env)',
  ]
  for (const text of opens) assert.ok(signIn(text), text)
  const opensNothing = [
    "import type { IncomingMessage } from 'node:http'",
    "import { createServer, type IncomingMessage } from 'node:http'",
    "import { type ClientRequest, createServer } from 'node:http'",
    "import { isIP, type Socket } from 'node:net'",
    'fetch: typeof globalThis.fetch',
    'await this.#fetch(path)',
    '// fetch(url) would do as well',
    'async function fetch(url: string) {}',
  ]
  for (const text of opensNothing) assert.equal(signIn(text), undefined, text)
})
