import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import {
  makeRepository,
  needsLogin,
  processesIn,
  serveGit,
} from '../../../test/support/sources/git-fixture.ts'
import { type GitOptions, git } from './git-program.ts'

const top = mkdtempSync(join(tmpdir(), 'errand-credential-'))
const host = await serveGit(join(top, 'server'))
after(async () => {
  await host.close()
  rmSync(top, { recursive: true })
})
makeRepository(join(top, 'server/o/r.git'), [{ path: 'a', content: 'x' }])

const password = randomUUID()
const url = new URL(`${host.origin()}/o/r.git`)
const reported: string[] = []
const folder = mkdtempSync(join(top, 'home-'))
const options: GitOptions = {
  folder,
  config: [],
  env: {},
  maxFileBytes: 1024 ** 2,
  signal: new AbortController().signal,
  credential: { url, username: 'me', password },
  progress: (line) => reported.push(line),
}

/** Returns the answer of `git credential fill` for an address. */
const answerTo = (address: string) => {
  const { protocol, host, pathname } = new URL(address)
  const input = `protocol=${protocol.slice(0, -1)}\nhost=${host}\npath=${pathname.slice(1)}\n\n`
  return git(['credential', 'fill'], { ...options, input }, text)
}

test('git is given the password for its own address and no other, which is told', async () => {
  assert.match(await answerTo(url.href), new RegExp(`username=me\npassword=${password}\n`))
  assert.deepEqual(reported, [])
  const other = new URL(url)
  other.port = String(host.port === 1 ? 2 : host.port - 1)
  for (const wrong of [
    `${host.origin()}/o/other.git`,
    `${host.origin()}/o/r.git/../other`,
    `${host.origin('git.test')}/o/r.git`,
    `https://127.0.0.1:${host.port}/o/r.git`,
    other.href,
    `${host.origin()}/`,
  ]) {
    reported.length = 0
    await assert.rejects(answerTo(wrong), /git says/)
    assert.match(
      reported.join('\n'),
      /Git asked for credentials of .*, which are not those of the repository/,
    )
  }
})

test('a private repository answers, and the password is in no argument, variable or file', async () => {
  const check = needsLogin({ username: 'me', password })
  const seen: string[] = []
  host.intercept = (path, response: ServerResponse, request) => {
    if (request.headers.authorization !== undefined)
      for (const pid of processesIn(folder))
        for (const file of ['cmdline', 'environ']) seen.push(readFileSync(`/proc/${pid}/${file}`, 'latin1'))
    return check(path, response, request)
  }
  const output = await git(['ls-remote', url.href], options, text)
  assert.match(output, /refs\/heads\/main/)
  assert.equal(seen.length > 0, true)
  const forms = [password, Buffer.from(`me:${password}`).toString('base64')]
  for (const form of forms)
    assert.equal(
      seen.some((each) => each.includes(form)),
      false,
    )
  assert.deepEqual(
    readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile()),
    [],
  )
})

test('a password that the server does not take is not offered twice', async () => {
  let requests = 0
  host.intercept = (_path, response) => {
    requests++
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
    return true
  }
  await assert.rejects(git(['ls-remote', url.href], options, text), /Authentication failed/)
  assert.equal(requests, 2)
})
