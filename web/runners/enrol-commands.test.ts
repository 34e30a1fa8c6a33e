import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { type EnrolWay, enrolCommand, freeName, labelsOf } from './enrol-commands.ts'

const unit = readFileSync(join(import.meta.dirname, '../../deploy/systemd/errand-runner.service'), 'utf8')
const hostile = {
  hub: 'https://hub.example/errand',
  token: 'errand_enroll_abc',
  id: "o'brien $(touch /tmp/no) `id`",
  labels: 'gpu=a100, note=two "words" $HOME',
  unit,
}

/** Returns the arguments with which a pasted command has called each program, and the files it has written. */
function pasted(t: TestContext, way: EnrolWay, enrolment = hostile) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-pasted-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const called = join(dir, 'called')
  const program = (name: string, text: string) => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${text}\n`)
    chmodSync(join(dir, name), 0o755)
  }
  const record = `printf '%s\\0' "$(basename "$0")" "$@" >>'${called}'; printf '\\n' >>'${called}'`
  for (const name of ['errand', 'docker', 'systemctl', 'systemd-sysusers', 'install']) program(name, record)
  program('sudo', 'exec "$@"')
  program('tee', `cat >'${dir}'/"$(basename "$1")"`)
  const env = { PATH: `${dir}:${process.env.PATH}`, HOME: '/home/somebody' }
  execFileSync('sh', ['-ec', enrolCommand(way, enrolment)], { env, cwd: dir })
  const lines = readFileSync(called, 'utf8').split('\0\n').slice(0, -1)
  const file = (name: string) => readFileSync(join(dir, name), 'utf8')
  return { calls: lines.map((line) => line.split('\0')), file }
}

test('the plain command enrols and starts the runner, with any characters in names', (t) => {
  const { calls } = pasted(t, 'command')
  const { hub, token, id } = hostile
  assert.deepEqual(calls, [
    ['errand', 'runner', 'enroll', '--hub', hub, '--token', token, '--id', id],
    ['errand', 'runner', '--label', 'gpu=a100', '--label', 'note=two "words" $HOME'],
  ])
  const plain = enrolCommand('command', { ...hostile, id: '', labels: '' })
  assert.equal(plain, `errand runner enroll --hub ${hub} --token ${token}\nerrand runner`)
})

test('the Docker command passes the same values as variables', (t) => {
  const [call] = pasted(t, 'docker').calls
  assert.deepEqual(
    call!.slice(0, 7),
    'docker run -d --name errand-runner --restart unless-stopped'.split(' '),
  )
  for (const text of [`ERRAND_RUNNER_ID=${hostile.id}`, 'ERRAND_LABELS=gpu=a100,note=two "words" $HOME'])
    assert.equal(call![call!.indexOf(text) - 1], '-e', text)
  assert.deepEqual(call!.slice(-2), ['errand', 'runner'])
  assert.ok(!call!.includes('--network'))
  const near = pasted(t, 'docker', { ...hostile, hub: 'http://127.0.0.1:3000' }).calls[0]!
  assert.equal(near[near.indexOf('--network') + 1], 'host')
})

test('the Compose command writes a file that Compose can read', (t) => {
  const { calls, file } = pasted(t, 'compose')
  assert.deepEqual(calls, [['docker', 'compose', '-f', 'errand-runner.yaml', 'up', '-d']])
  const { services, volumes } = parse(file('errand-runner.yaml'))
  assert.deepEqual(Object.keys(volumes), ['workspace'])
  assert.ok(services.runner.environment.includes(`ERRAND_ENROLL_TOKEN=${hostile.token}`))
  // Compose would replace variables in it.
  assert.ok(services.runner.environment.includes('ERRAND_LABELS=gpu=a100,note=two "words" $$HOME'))
})

test('the systemd command writes the shipped unit and its variables', (t) => {
  const { calls, file } = pasted(t, 'systemd')
  assert.equal(file('errand-runner.service'), unit)
  assert.equal(file('errand-runner.conf'), 'u errand-runner - "Errand runner" /var/lib/errand-runner\n')
  assert.ok(file('runner.env').includes('ERRAND_LABELS="gpu=a100,note=two \\"words\\" \\$HOME"\n'))
  assert.deepEqual(calls.at(-1), ['systemctl', 'enable', '--now', 'errand-runner'])
})

test('labels are KEY=value pairs with commas', () => {
  assert.deepEqual(labelsOf(' gpu=a100 ,, disk=ssd=2'), ['gpu=a100', 'disk=ssd=2'])
  assert.deepEqual(labelsOf(''), [])
  for (const wrong of ['gpu', '=a']) assert.equal(labelsOf(wrong), undefined, wrong)
})

test("a second runner on the hub's machine gets an unused name", () => {
  assert.deepEqual([[], ['vm'], ['vm', 'runner-3'], ['vm', 'runner-2', 'gone']].map(freeName), [
    '',
    'runner-2',
    'runner-4',
    'runner-4',
  ])
})
