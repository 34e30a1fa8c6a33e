import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import {
  makeCertificate,
  makeRepository,
  needsLogin,
  processesIn,
  run,
  serveGit,
  type TreeEntry,
} from '../../../test/support/sources/git-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import { AllowedOrigins } from '../git/server-addresses.ts'
import { type CloneOptions, clone, DEFAULT_CLONE_LIMITS, GIT_ALLOW, type Repository } from './clone.ts'

const top = mkdtempSync(join(tmpdir(), 'errand-clone-'))
const root = join(top, 'repositories')
const plain = await serveGit(root)
const certificate = makeCertificate(top)
const secure = await serveGit(root, certificate)
after(async () => {
  await plain.close()
  await secure.close()
  rmSync(top, { recursive: true })
})
beforeEach(() => {
  plain.intercept = () => false
  secure.intercept = () => false
  plain.requests.length = 0
})
let count = 0

const allow = new AllowedOrigins(
  `${plain.origin()},${plain.origin('git.test')},${secure.origin('git.test')}`,
  GIT_ALLOW,
)
const lookup = async () => ['127.0.0.1']

function repository(entries: readonly TreeEntry[]) {
  const name = `r${count++}.git`
  const folder = join(root, name)
  return { name, folder, commit: makeRepository(folder, entries), url: `${plain.origin()}/${name}` }
}

async function cloned(what: Repository, options: Partial<CloneOptions> = {}) {
  const target = join(top, String(count++), 'code')
  return { commit: await clone(what, target, { allow, lookup, ...options }), target }
}

/** Returns the error, and checks that nothing is left: no file, no process. */
async function refused(what: Repository, options: Partial<CloneOptions> = {}): Promise<ErrandError> {
  const parent = join(top, String(count++))
  const error = await clone(what, join(parent, 'code'), { allow, lookup, ...options }).then(
    () => assert.fail('it was taken'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ErrandError, String(error))
  assert.equal(error.code, 'source_refused')
  assert.ok(error.hint)
  assert.deepEqual(existsSync(parent) ? readdirSync(parent) : [], [])
  assert.deepEqual(processesIn(parent), [])
  return error
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

const redirect = (response: ServerResponse, location: string, status = 302) => {
  response.writeHead(status, { location }).end()
  return true
}
const QUERY = '/info/refs?service=git-upload-pack'

test('a branch, a tag, a commit and the default give their files, with the commit id', async () => {
  const { url, commit } = repository([
    { path: 'bot.py', content: 'print(1)\n' },
    { path: 'bin/run', content: '#!/bin/sh\n', mode: '100755' },
  ])
  const lines: string[] = []
  for (const ref of [
    undefined,
    'main',
    'v1',
    'feature/+x',
    'refs/heads/main',
    commit,
    commit.toUpperCase(),
  ]) {
    const result = await cloned({ url, ref }, { progress: (line) => lines.push(line) })
    assert.equal(result.commit, commit)
    assert.deepEqual(readdirSync(result.target, { recursive: true }).sort(), ['bin', 'bin/run', 'bot.py'])
    assert.equal(readFileSync(join(result.target, 'bot.py'), 'utf8'), 'print(1)\n')
    assert.notEqual(statSync(join(result.target, 'bin/run')).mode & 0o100, 0)
    assert.deepEqual(readdirSync(join(result.target, '..')), ['code'])
  }
  assert.ok(
    lines.some((line) => /Counting objects/.test(line)),
    lines.join('\n'),
  )
})

test('a private repository is fetched with a token that is in no argument and no file', async () => {
  const { url } = repository([{ path: 'bot.py', content: 'print(1)' }])
  const token = `token-${randomBytes(9).toString('hex')}`
  const forms = [token, Buffer.from(`x-access-token:${token}`).toString('base64')]
  const check = needsLogin({ username: 'x-access-token', password: token })
  const target = join(top, String(count++), 'code')
  let fetches = 0
  plain.intercept = (path, response, request) => {
    if (!path.endsWith('git-upload-pack') || path.includes('?')) return check(path, response, request)
    fetches++
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    for (const form of forms) {
      for (const pid of pids) {
        const line = readIfThere(`/proc/${pid}/cmdline`)
        assert.ok(!line.includes(form), line.replaceAll('\0', ' '))
      }
      for (const entry of readdirSync(dirname(target), { recursive: true, withFileTypes: true }))
        if (entry.isFile()) assert.ok(!readIfThere(join(entry.parentPath, entry.name)).includes(form))
    }
    return check(path, response, request)
  }
  const lines: string[] = []
  const options = { allow, lookup, progress: (line: string) => lines.push(line) }
  await clone({ url, auth: { password: token } }, target, options)
  assert.equal(readFileSync(join(target, 'bot.py'), 'utf8'), 'print(1)')
  assert.ok(fetches > 0)
  for (const form of forms) assert.ok(!lines.join('\n').includes(form))

  plain.intercept = needsLogin({ username: 'ann', password: token })
  await cloned({ url, auth: { username: 'ann', password: token } })
  const none = await refused({ url })
  assert.match(none.message, /No public repository found at .* \(HTTP 401\)/)
  assert.match(none.hint!, /--git-token/)
  for (const auth of [{ password: token }, { username: 'ann', password: `${token}.` }]) {
    const wrong = await refused({ url, auth })
    assert.match(wrong.message, /No repository at .* can be read with this token \(HTTP 401\)/)
    assert.ok(!`${wrong.message}${wrong.hint}`.includes(token))
  }
  // Here the server changes its mind, so Git reports the error.
  let requests = 0
  plain.intercept = (path, response, request) =>
    ++requests > 1 && needsLogin({ username: 'no', password: 'no' })(path, response, request)
  const later = await refused({ url, auth: { password: token } })
  assert.match(later.message, /cannot be fetched/)
  assert.ok(!`${later.message}${later.hint}`.includes(token))
})

test('a token goes only to the named server, and to none that it redirects to, nor back', async () => {
  const { name, url } = repository([{ path: 'bot.py', content: 'print(1)' }])
  const auth = { username: 'ann', password: 'a token of ann' }
  const here: (string | undefined)[] = []
  const there: (string | undefined)[] = []
  const elsewhere = await serveGit(root)
  try {
    const options = { allow: new AllowedOrigins(`${plain.origin()},${elsewhere.origin()}`, GIT_ALLOW) }
    const login = needsLogin(auth, here)
    plain.intercept = (path, response, request) =>
      path.startsWith('/old')
        ? redirect(response, `/${name}${QUERY}`)
        : path.startsWith('/away')
          ? redirect(response, `${elsewhere.origin()}/${name}${QUERY}`)
          : login(path, response, request)
    await cloned({ url: `${plain.origin()}/old.git`, auth }, options)
    assert.ok(here.length > 1 && here.every((header) => header?.startsWith('Basic ')))

    elsewhere.intercept = (_path, _response, request) => {
      there.push(request.headers.authorization)
      return false
    }
    await cloned({ url: `${plain.origin()}/away.git`, auth }, options)
    assert.ok(there.length > 1 && there.every((header) => header === undefined), there.join())

    elsewhere.intercept = needsLogin(auth, there)
    const error = await refused({ url: `${plain.origin()}/away.git`, auth }, options)
    assert.match(error.message, /redirects to another server, .*, and the token is not sent there/)

    here.length = 0
    elsewhere.intercept = (_path, response) => redirect(response, `${url}${QUERY}`)
    await refused({ url: `${plain.origin()}/away.git`, auth }, options)
    assert.deepEqual(here, [undefined])
    assert.ok(there.every((header) => header === undefined))
  } finally {
    await elsewhere.close()
  }
})

test('an old commit is fetched by its id, and only that one', async () => {
  const { url, folder, commit } = repository([{ path: 'a', content: 'old' }])
  const tree = run(
    folder,
    ['mktree'],
    `100644 blob ${run(folder, ['hash-object', '-w', '--stdin'], 'new')}\ta\n`,
  )
  run(folder, [
    'update-ref',
    'refs/heads/main',
    run(folder, ['commit-tree', '-p', commit, '-m', 'two', tree]),
  ])
  const old = await cloned({ url, ref: commit })
  assert.equal(readFileSync(join(old.target, 'a'), 'utf8'), 'old')
  assert.equal(readFileSync(join((await cloned({ url })).target, 'a'), 'utf8'), 'new')
  assert.match((await refused({ url, ref: tree })).message, /not the id of a commit|cannot be fetched/)
})

test('files are the bytes of the commit: attributes convert and omit nothing, and filters do not run', async () => {
  const attributes = '*.txt text eol=crlf ident export-subst filter=lfs\nhidden export-ignore\n'
  const { url } = repository([
    { path: '.gitattributes', content: attributes },
    { path: 'a.txt', content: '$Id$ $Format:%H$\nline\n' },
    { path: 'hidden', content: 'x' },
  ])
  const { target } = await cloned({ url })
  assert.equal(readFileSync(join(target, 'a.txt'), 'utf8'), '$Id$ $Format:%H$\nline\n')
  assert.ok(existsSync(join(target, 'hidden')))
})

test('submodules are not fetched, which is reported', async () => {
  const lines: string[] = []
  const { url } = repository([
    { path: '.gitmodules', content: '[submodule "x"]\n\tpath = x\n\turl = ext::id\n' },
    { path: 'x', content: 'a'.repeat(40), mode: '160000' },
  ])
  const { target } = await cloned({ url }, { progress: (line) => lines.push(line) })
  assert.deepEqual(readdirSync(join(target, 'x')), [])
  assert.ok(lines.includes('Submodules are left out.'))
})

test('links that stay inside a repository are preserved', async () => {
  const { url } = repository([
    { path: 'inner', content: 'lib/current', mode: '120000' },
    { path: 'lib/current', content: '../bot.py', mode: '120000' },
    { path: 'bot.py', content: 'print(1)' },
  ])
  const { target } = await cloned({ url })
  assert.equal(readFileSync(join(target, 'inner'), 'utf8'), 'print(1)')
  assert.equal(readlinkSync(join(target, 'inner')), 'lib/current')
})

test('a tree with links that lead out or with forbidden names is refused, with the entry named', async () => {
  const cases: [TreeEntry[], RegExp][] = [
    [
      [{ path: 'a/link', content: '../../../etc/passwd', mode: '120000' }],
      /"a\/link" is a link that leads out/,
    ],
    [
      [
        { path: 'inner', content: 'b/..', mode: '120000' },
        { path: 'b', content: '.', mode: '120000' },
        { path: 'c', content: '' },
      ],
      /"inner" is a link that leads out/,
    ],
    [
      [
        { path: 'A', content: '' },
        { path: 'a', content: '' },
      ],
      /collides/,
    ],
    [[{ path: 'a\\b', content: '' }], /backslash/],
    [[{ path: 'a\nb', content: '' }], /control character/],
  ]
  for (const [entries, message] of cases)
    assert.match((await refused({ url: repository(entries).url })).message, message)
})

test('a large repository is cut off by its transfer, its unpacked size and its number of files', async () => {
  const limits = { ...DEFAULT_CLONE_LIMITS, maxBytes: 1024 * 1024, maxEntries: 50 }
  const sent = repository([{ path: 'a', content: randomBytes(8 * 1024 * 1024) }])
  assert.match(
    (await refused({ url: sent.url }, { limits })).message,
    /repository is larger than 1048576 bytes/,
  )
  const unpacked = repository([{ path: 'a', content: Buffer.alloc(64 * 1024 * 1024) }])
  assert.match(
    (await refused({ url: unpacked.url }, { limits })).message,
    /repository has more than \d+ bytes/,
  )
  const many = repository(Array.from({ length: 51 }, (_, n) => ({ path: `f${n}`, content: '' })))
  assert.match((await refused({ url: many.url }, { limits })).message, /more than 50 files/)
})

test('a tree that contains itself many times over is not walked to its end', async () => {
  const { url, folder } = repository([{ path: 'a', content: 'x' }])
  let entry = `100644 blob ${run(folder, ['hash-object', '-w', '--stdin'], 'x')}`
  for (let depth = 0; depth < 10; depth++) {
    const lines = Array.from({ length: 10 }, (_, n) => `${entry}\tn${n}\n`).join('')
    entry = `040000 tree ${run(folder, ['mktree'], lines)}`
  }
  const commit = run(folder, ['commit-tree', '-m', 'bomb', entry.split(' ')[2]!])
  run(folder, ['update-ref', 'refs/heads/main', commit])
  const limits = { ...DEFAULT_CLONE_LIMITS, maxEntries: 100 }
  assert.match((await refused({ url }, { limits })).message, /more than 100 files/)
})

test('addresses that are not public are refused before any connection', async () => {
  const { name } = repository([{ path: 'a', content: '' }])
  const nobody = { allow: new AllowedOrigins('', GIT_ALLOW) }
  const port = secure.port
  for (const host of [
    '127.0.0.1',
    '2130706433',
    '0x7f.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '169.254.169.254',
    '0',
  ]) {
    const error = await refused({ url: `https://${host}:${port}/${name}` }, nobody)
    assert.match(error.message, /is not on the public internet/)
    assert.match(error.hint!, /ERRAND_GIT_ALLOW=/)
  }
  const mixed = async () => ['140.82.121.4', '10.0.0.1']
  const error = await refused({ url: `https://git.test/${name}` }, { ...nobody, lookup: mixed })
  assert.match(error.message, /git\.test \(10\.0\.0\.1\) is not on the public internet/)
  const unknown = async () => {
    throw new Error('ENOTFOUND')
  }
  assert.match(
    (await refused({ url: `https://git.test/${name}` }, { lookup: unknown })).message,
    /cannot be found/,
  )
  assert.deepEqual(secure.requests, [])
})

test('git connects to the checked address: a name is resolved once, even if it changes later', async () => {
  const { name, commit } = repository([{ path: 'a', content: '' }])
  const requests: string[] = []
  const once = async (host: string) => {
    requests.push(host)
    return requests.length === 1 ? ['127.0.0.1'] : ['10.0.0.1']
  }
  // The system knows no git.test: a look-up by Git itself would have failed.
  const result = await cloned({ url: `${plain.origin('git.test')}/${name}` }, { lookup: once })
  assert.equal(result.commit, commit)
  assert.deepEqual(requests, ['git.test'])
})

test('redirects to the repository are followed, each checked, at most five', async () => {
  const { name, commit } = repository([{ path: 'a', content: '' }])
  plain.intercept = (path, response) => {
    const hop = /^\/hop(\d+)\/info/.exec(path)
    if (hop === null) return false
    const next = hop[1] === '1' ? name : `hop${Number(hop[1]) - 1}`
    return redirect(response, `${plain.origin('git.test')}/${next}${QUERY}`)
  }
  assert.equal((await cloned({ url: `${plain.origin()}/hop5` })).commit, commit)
  assert.match((await refused({ url: `${plain.origin()}/hop6` })).message, /redirects more than 5 times/)
})

test('a redirect to an address that is private, unencrypted or not a repository is refused', async () => {
  const { name } = repository([{ path: 'a', content: '' }])
  const to = async (location: string, origin = plain.origin(), options = {}) => {
    const answer = (_path: string, response: ServerResponse) => redirect(response, location)
    plain.intercept = answer
    secure.intercept = answer
    return (await refused({ url: `${origin}/${name}` }, options)).message
  }
  assert.match(await to(`https://10.0.0.1/${name}${QUERY}`), /10\.0\.0\.1 is not on the public internet/)
  assert.match(await to(`https://[::1]/${name}${QUERY}`), /not on the public internet/)
  assert.match(await to(`http://169.254.169.254/${name}${QUERY}`), /not encrypted/)
  assert.match(await to(`file:///etc${QUERY}`), /does not begin with https/)
  assert.match(await to(`https://u:hunter2@git.test/x${QUERY}`), /user name or a password/)
  assert.match(await to('https://git.test/login'), /to an address that is not a repository/)
  const trusted = { caFile: certificate.file }
  assert.match(
    await to(`${plain.origin()}/${name}${QUERY}`, secure.origin('git.test'), trusted),
    /from https to an unencrypted address/,
  )
})

test('a server that redirects git itself after the check is not followed', async () => {
  const { name } = repository([{ path: 'a', content: '' }])
  const elsewhere = repository([{ path: 'secret', content: '' }])
  let requests = 0
  plain.intercept = (path, response) =>
    path.startsWith(`/${name}`) && ++requests > 1 && redirect(response, `${elsewhere.url}${QUERY}`)
  const { message } = await refused({ url: `${plain.origin()}/${name}` })
  assert.match(message, /git says: fatal: .*302/)
  assert.ok(!plain.requests.some((path) => path.startsWith(`/${elsewhere.name}`)))
})

test('https works with the certificate that the operator trusts, and not without it', async () => {
  const { name, commit } = repository([{ path: 'a', content: '' }])
  const url = `${secure.origin('git.test')}/${name}`
  assert.equal((await cloned({ url }, { caFile: certificate.file })).commit, commit)
  assert.match((await refused({ url })).message, /git\.test:\d+ cannot be reached: .*self.signed/)
})

test("a missing branch or repository is reported by name, with git's message", async () => {
  const { url } = repository([{ path: 'a', content: '' }])
  assert.match((await refused({ url, ref: 'gone' })).message, /git says: fatal: .*remote ref gone/)
  assert.match((await refused({ url, ref: 'a'.repeat(40) })).message, /git says: .*not our ref/)
  assert.match((await refused({ url: `${plain.origin()}/none.git` })).message, /No public repository.*404/)
  plain.intercept = (_path, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('0000')
    return true
  }
  assert.match((await refused({ url })).message, /not a Git repository with smart HTTP/)
  for (const ref of ['--upload-pack=id', '-x', 'a:b', '+a:b'])
    assert.match((await refused({ url, ref })).message, /is not a valid branch, tag or commit/)
})

test('a server that hangs is given up, a cancel ends it at once, and nothing is left', async () => {
  const { url } = repository([{ path: 'a', content: '' }])
  let reached = () => {}
  plain.intercept = (path) => {
    if (!path.endsWith('/git-upload-pack')) return false
    reached()
    return true
  }
  const limits = { ...DEFAULT_CLONE_LIMITS, timeoutMs: 1500 }
  assert.match((await refused({ url }, { limits })).message, /took longer than 1.5 s/)
  const abort = new AbortController()
  reached = () => abort.abort(new Error('canceled here'))
  const parent = join(top, String(count++))
  const cloning = clone({ url }, join(parent, 'code'), { allow, lookup, signal: abort.signal })
  await assert.rejects(cloning, /canceled here/)
  assert.deepEqual(readdirSync(parent), [])
  assert.deepEqual(processesIn(parent), [])
})

test("nothing of the runner's environment reaches git", async () => {
  const { url } = repository([{ path: 'a', content: '' }])
  const evil = {
    GIT_SSH_COMMAND: 'false',
    GIT_TRACE: join(top, 'trace'),
    https_proxy: 'http://127.0.0.1:1',
    http_proxy: 'http://127.0.0.1:1',
  }
  const before = { ...process.env }
  Object.assign(process.env, evil)
  try {
    await cloned({ url })
  } finally {
    for (const name of Object.keys(evil)) delete process.env[name]
    Object.assign(process.env, before)
  }
  assert.ok(!existsSync(join(top, 'trace')))
})
