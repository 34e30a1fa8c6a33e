import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  attemptSpec,
  command,
  endOf,
  place,
  textOf,
  until,
} from '../../../test/support/runner/attempt-fixture.ts'
import {
  filesWithSecrets,
  found,
  fromHub,
  key,
  printForms,
  token,
} from '../../../test/support/runner/secret-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { secretMark } from '../../contract/step-secrets.ts'

const values = { TOKEN: token, KEY: key }
const secrets = { TOKEN: fromHub('TOKEN'), KEY: fromHub('KEY') }
const withSecrets = (cmd: string, more: Partial<AttemptSpec> = {}) => command(cmd, { secrets, ...more })

test('a command has its secrets, and its output contains none in any form', async () => {
  using here = place()
  const attempts = here.open({ outputDir: here.path })
  const spec = withSecrets(
    `${printForms}; printf 'BOPS_EXPORT:TOKEN_COPY=%s\\nBOPS_EXPORT:FINE=1\\nBOPS_EXPORT:%s\\n' "$TOKEN" "$TOKEN"; printf '{"v":"%s"}' "$NOISE"`,
    {
      args: { export_vars: true, output_path: 'kept' },
      env: { NOISE: 'fine' },
      outputs: { HEAD: 'stdout', ERR: { from: 'stderr', regex: 'plain tok/(.*)' } },
    },
  )
  const attempt = await attempts.start(spec, 1, values)
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success')
  const stdout = await textOf(attempt)
  const stderr = await textOf(attempt, 'stderr')
  assert.match(
    stdout,
    /^plain \*\*\*\nbase64 \*\*\*=*\nbase64url \*\*\*\nhex \*\*\*\nurl \*\*\*\njson {"value":"\*\*\*"}\n/,
  )
  assert.match(stdout, /{"v":"fine"}$/)
  assert.deepEqual(found(stdout + stderr + JSON.stringify(attempt.reports)), [])
  assert.deepEqual([end.exports!.TOKEN_COPY, end.exports!.FINE], ['***', '1'])
  assert.equal(end.last_error_line, stderr.trimEnd().split('\n').at(-1))
  assert.match(end.last_error_line!, /\*\*\*/)
  assert.match(end.message!, /A secret cannot be exported: it was replaced by \*\*\* in .*TOKEN_COPY/)
  assert.match(end.message!, /A line is not a valid export: "BOPS_EXPORT:\*\*\*" /)
  assert.match(end.message!, /Output ERR was not set: nothing matches/)
  for (const [stream, text] of Object.entries({ stdout, stderr })) {
    const { length, sha256 } = end.streams![stream as 'stdout']!
    assert.equal(length, Buffer.byteLength(text))
    assert.equal(sha256, createHash('sha256').update(text).digest('hex'))
    assert.equal(readFileSync(end.output_files![stream as 'stdout']!, 'utf8'), text)
  }
  // Not even in the attempt's own folder, which stays until the end has arrived.
  assert.deepEqual(filesWithSecrets(here.path), [])
  await attempts.close()
  const again = here.open()
  const [held] = await again.recover()
  assert.equal(await textOf(held!), stdout)
  assert.equal(await textOf(held!, 'stderr'), stderr)
  await held!.release()
  assert.deepEqual(readdirSync(join(here.path, 'attempts')), [])
  await again.close()
})

test('output that a daemon writes after its step has ended is in no output file', async () => {
  using here = place()
  const attempts = here.open({ outputDir: here.path })
  const daemon = 'while [ ! -e go ]; do sleep 0.05; done; echo "$TOKEN"; touch said'
  const cmd = `echo first; setsid sh -c '${daemon}' & sleep 0.2`
  const attempt = await attempts.start(withSecrets(cmd, { args: { output_path: 'kept' } }), 1, values)
  const { output_files } = await endOf(attempt)
  const workspace = join(here.path, 'workspaces/run_test')
  writeFileSync(join(workspace, 'go'), '')
  await until(() => existsSync(join(workspace, 'said')))
  assert.equal(readFileSync(output_files!.stdout!, 'utf8'), 'first\n')
  assert.equal(await textOf(attempt), 'first\n')
  await attempt.release()
  await attempts.close()
})

test('a secret may name the working folder of a command, and is masked if the folder does not exist', async () => {
  using here = place()
  const attempts = here.open()
  const spec = withSecrets('pwd', { args: { cwd: `${here.path}/${secretMark('NAME')}` } })
  const inFolder = { ...spec, secrets: { NAME: fromHub('NAME') } }
  const gone = await endOf(await attempts.start(inFolder, 1, { NAME: 'hidden folder' }))
  assert.equal(gone.message, `The working folder ${here.path}/*** does not exist.`)
  mkdirSync(join(here.path, 'hidden folder'))
  const attempt = await attempts.start({ ...inFolder, attempt_id: 'run_test.2' }, 1, {
    NAME: 'hidden folder',
  })
  await endOf(attempt)
  assert.equal(await textOf(attempt), `${here.path}/***\n`)
  await attempts.close()
})

test('a secret file is private, outside the workspace, and removed with its attempt', async () => {
  using here = place()
  const attempts = here.open()
  const spec = command('stat -c %a "$KEY"; cmp "$KEY" - <expected && echo "$KEY"; cat "$KEY"', {
    secrets: { KEY: fromHub('KEY', 'file') },
  })
  const workspace = join(here.path, 'workspaces/run_test')
  await attempts.start(command('true'), 1)
  writeFileSync(join(workspace, 'expected'), key)
  const attempt = await attempts.start(spec, 1, { KEY: key })
  assert.equal((await endOf(attempt)).outcome, 'success')
  const [mode, path, content] = (await textOf(attempt)).split('\n')
  assert.deepEqual([mode, content], ['600', '***'])
  assert.ok(path!.startsWith(join(here.path, 'attempts')))
  assert.ok(!existsSync(path!))
  await attempts.close()
})

test('a mounted secret is read on this machine, and a missing one is reported with its name and place', async () => {
  using here = place()
  const mountedSecretsDir = here.path
  const attempts = here.open({ mountedSecretsDir })
  const secrets = { TOKEN: { from: 'mounted', name: 'db.pass', as: 'env' } } as const
  const spec = command('printf "%s|" "$TOKEN"', { secrets })
  await assert.rejects(attempts.start(spec, 1), {
    code: 'invalid_argument',
    message: `The mounted secret db.pass does not exist in ${here.path} on this machine.`,
    hint: /ERRAND_SECRETS_DIR/,
  })
  writeFileSync(join(here.path, 'db.pass'), `${token}\n`)
  const attempt = await attempts.start(spec, 1)
  await endOf(attempt)
  assert.equal(await textOf(attempt), '***|')
  await attempts.close()
})

test('an action inside the runner gets its secrets in texts and environment, and is masked too', async () => {
  using here = place()
  const server = createServer((request, response) => {
    response.end(JSON.stringify({ url: request.url, header: request.headers['x-token'] }))
  }).listen(0, '127.0.0.1')
  await until(() => server.listening)
  const attempts = here.open({ outputDir: here.path })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const asHeader = encodeURIComponent(token)
  const spec = attemptSpec(
    'http.request',
    {
      url: `${url}/${secretMark('HEADER')}`,
      headers: { 'x-token': secretMark('HEADER') },
      output_path: 'kept',
    },
    { secrets: { HEADER: fromHub('HEADER') }, outputs: { H: { from: 'stdout', json: 'header' } } },
  )
  const attempt = await attempts.start(spec, 1, { HEADER: asHeader })
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success', end.message)
  assert.equal(await textOf(attempt), '{"url":"/***","header":"***"}')
  assert.equal(readFileSync(end.output_files!.stdout!, 'utf8'), await textOf(attempt))
  assert.deepEqual(end.exports, { H: '***' })
  server.close()
  const failing = await attempts.start({ ...spec, attempt_id: 'run_test.2' }, 1, { HEADER: asHeader })
  const { message } = await endOf(failing)
  assert.match(message!, /GET http:.*\/\*\*\* failed/)
  const whole = attemptSpec(
    'http.request',
    { url: secretMark('HOOK') },
    { secrets: { HOOK: fromHub('HOOK') } },
  )
  const hook = await endOf(await attempts.start(whole, 1, { HOOK: `${url}/hook/part?key=${asHeader}` }))
  assert.match(hook.message!, /^GET \*\*\* failed/)
  const write = attemptSpec(
    'file.write',
    { path: 'netrc', content: `machine a password ${secretMark('TOKEN')}` },
    { secrets },
  )
  await endOf(await attempts.start(write, 1, values))
  const netrc = join(here.path, 'workspaces/run_test/netrc')
  assert.equal(readFileSync(netrc, 'utf8'), `machine a password ${token}`)
  const set = attemptSpec('vars.set', { vars: { COPY: `<${secretMark('TOKEN')}>` } }, { secrets })
  const { exports, message: warning } = await endOf(await attempts.start(set, 1, values))
  assert.deepEqual(exports, { COPY: '<***>' })
  assert.match(warning!, /it was replaced by \*\*\* in COPY/)
  assert.deepEqual(
    filesWithSecrets(here.path, (path) => path === netrc),
    [],
  )
  await attempts.close()
})

test("the machine's secrets are masked for every attempt, and output without secrets is stored once", async () => {
  using here = place()
  const attempts = here.open({ ownSecrets: { ERRAND_TOKEN: token } })
  const attempt = await attempts.start(command(`echo 'see ${token}'; echo plain >&2`), 1)
  await endOf(attempt)
  assert.equal(await textOf(attempt), 'see ***\n')
  const folder = join(here.path, 'attempts', attempt.spec.attempt_id)
  assert.ok(existsSync(join(folder, 'stdout.masked')))
  assert.ok(!existsSync(join(folder, 'stderr.masked')))
  assert.equal(await textOf(attempt, 'stderr'), 'plain\n')
  assert.deepEqual(
    filesWithSecrets(folder, (path) => path.endsWith('spec.json')),
    [],
  )
  await attempts.close()
})

test('a secret that is too short to be masked is reported once with the attempt', async () => {
  using here = place()
  const attempts = here.open({ ownSecrets: { SHORT: 'x' } })
  const spec = command('echo "$PIN"', { secrets: { PIN: fromHub('PIN') } })
  const attempt = await attempts.start(spec, 1, { PIN: '1234' })
  await endOf(attempt)
  const phases = attempt.reports.filter((report) => report.type === 'phase')
  assert.deepEqual(
    phases.map(({ message }) => message),
    ['Secret "PIN" has 4 bytes and is not masked: masking needs at least 6 bytes. Use a longer secret.'],
  )
  assert.equal(await textOf(attempt), '1234\n')
  await attempts.close()
})

test('output that cannot start a secret is shown while the command runs, and the rest once it ends', async () => {
  using here = place()
  const attempts = here.open()
  const spec = command('printf "no secret: %s" "abcdef"; while [ ! -e go ]; do sleep 0.02; done', {
    secrets: { S: fromHub('S') },
  })
  const attempt = await attempts.start(spec, 1, { S: 'abcdefghij' })
  await until(async () => (await textOf(attempt)) === 'no secret: ')
  writeFileSync(join(here.path, 'workspaces/run_test/go'), '')
  await endOf(attempt)
  assert.equal(await textOf(attempt), 'no secret: abcdef')
  await attempts.close()
})

test('60 MB with secrets arrive complete, and a failed start leaves no secret behind', async () => {
  using here = place()
  const attempts = here.open()
  const program = `for (let n = 0; n < 600; n++) process.stdout.write(("x".repeat(99_950) + " " + process.env.TOKEN + "\\n"))`
  const attempt = await attempts.start(withSecrets(`${process.execPath} -e '${program}'`), 1, values)
  const end = await endOf(attempt)
  const line = `${'x'.repeat(99_950)} ***\n`
  const whole = createHash('sha256')
  for (let n = 0; n < 600; n++) whole.update(line)
  assert.deepEqual(end.streams!.stdout, { length: line.length * 600, sha256: whole.digest('hex') })
  const read = createHash('sha256')
  for (let at = 0; at < attempt.length('stdout'); ) {
    const bytes = await attempt.read('stdout', at, 1024 * 1024)
    read.update(bytes)
    at += bytes.length
  }
  assert.equal(read.digest('hex'), end.streams!.stdout!.sha256)
  const folder = join(here.path, 'attempts', attempt.spec.attempt_id)
  assert.ok(statSync(join(folder, 'stdout')).size < 200_000)
  const failing = await attempts.start(withSecrets('true', { args: { cwd: 'nowhere' } }), 1, values)
  assert.equal((await endOf(failing)).reason, 'start_failed')
  assert.deepEqual(filesWithSecrets(here.path), [])
  await attempts.close()
})
