import assert from 'node:assert/strict'
import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { freePort, startPrograms, workflowText, writeWorkflow } from '../support/programs.ts'
import { outputHash, sha256, wholeLog } from '../support/programs-output.ts'

/** The commands of steps, and the bytes that each prints. */
const outputs: Record<string, { cmd: string; bytes: Buffer }> = {
  'invalid UTF-8': {
    cmd: String.raw`printf '\377\376ok\303(\360\237\230\n\355\240\200\300\200end'`,
    bytes: Buffer.from('\xff\xfeok\xc3(\xf0\x9f\x98\n\xed\xa0\x80\xc0\x80end', 'latin1'),
  },
  'NUL and ANSI': {
    cmd: String.raw`printf 'a\000b\n\033[2J\033[31mred\033[0m\033]0;title\007\rover\n\b\177'`,
    bytes: Buffer.from('a\0b\n\x1b[2J\x1b[31mred\x1b[0m\x1b]0;title\x07\rover\n\b\x7f', 'latin1'),
  },
  'a line of 50 MB': {
    cmd: `head -c 50000000 /dev/zero | tr '\\0' x; echo; echo after`,
    bytes: Buffer.from(`${'x'.repeat(50_000_000)}\nafter\n`),
  },
  'one byte at a time': {
    cmd: `i=0; while [ $i -lt 20000 ]; do printf x; i=$((i+1)); [ $((i % 5000)) = 0 ] && sleep 0.1; done; exit 0`,
    bytes: Buffer.from('x'.repeat(20_000)),
  },
  'one byte of a character at a time': {
    cmd: String.raw`for i in 1 2 3; do for byte in '\360' '\237' '\230' '\200'; do printf "$byte"; sleep 0.05; done; done`,
    bytes: Buffer.from('😀😀😀'),
  },
  'all byte values': {
    cmd: `i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf '%03o' $i)"; i=$((i+1)); done`,
    bytes: Buffer.from(Array.from({ length: 256 }, (_, index) => index)),
  },
  'nothing but line feeds': {
    cmd: `yes '' | head -c 100000`,
    bytes: Buffer.from('\n'.repeat(100_000)),
  },
  nothing: { cmd: 'true', bytes: Buffer.alloc(0) },
}
const names = Object.keys(outputs)
const steps = names.map((name) => ({ name, cmd: outputs[name]!.cmd, targets: ['far'] }))

/** Checks that a stream without output has no file. */
function checkFolder(folder: string): void {
  const files = readdirSync(folder).filter((name) => name.includes('stdout'))
  const found = files.map((name) => sha256(readFileSync(join(folder, name))))
  assert.equal(files.length, names.length - 1)
  for (const name of names.filter((one) => one !== 'nothing'))
    assert.ok(found.includes(sha256(outputs[name]!.bytes)), `${name} in ${files}`)
}

test('everything that a step prints on this machine is on disk byte for byte', async (t) => {
  const errand = errandCommand(t)
  const folder = join(errand.home, 'whole')
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), steps, { inventory: { hosts: { far: null } } })
  const { code, stderr } = await errand.run(['run', file, '--output-path', folder])
  assert.equal(code, 0, stderr)
  checkFolder(folder)
})

test('everything that a step prints on an agent server is on disk here byte for byte', async (t) => {
  const errand = errandCommand(t)
  const address = `127.0.0.1:${await freePort()}`
  await errand.start(['agent-server', '--addr', address, '--token', 'T']).until('Agent server on')
  const folder = join(errand.home, 'whole')
  const hosts = { far: { address: `http://${address}` } }
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), steps, { inventory: { hosts } })
  const { code, stderr } = await errand.run(['dispatch', '--token', 'T', file, '--output-path', folder])
  assert.equal(code, 0, stderr)
  checkFolder(folder)
})

test('everything that a step prints on a runner can be read from the hub byte for byte', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const { client, home } = programs
  const file = writeWorkflow(join(home, 'flow.yaml'), steps, { inventory: { hosts: { far: null } } })
  const { code, stderr } = await programs.call('run', '--hub', '--run-id', 'all', file)
  assert.equal(code, 0, stderr)
  for (const [index, name] of names.entries()) {
    const { bytes } = outputs[name]!
    assert.deepEqual(
      await outputHash(client, 'all', index + 1),
      { length: bytes.length, sha256: sha256(bytes) },
      name,
    )
    for (const [start, end] of [
      [0, 1],
      [1, 3],
      [bytes.length - 2, bytes.length],
    ] as const) {
      if (start < 0) continue
      const part = bytes.subarray(start, end)
      const found = await outputHash(client, 'all', index + 1, 'stdout', { start, end })
      assert.deepEqual(found, { length: part.length, sha256: sha256(part) }, `${name} ${start}-${end}`)
    }
  }
  // Events hold text, but of the same bytes: no character is split between events.
  const events = await wholeLog(client, 'all')
  const smileys = events.flatMap((event) =>
    event.type === 'output' && event.step === 'one byte of a character at a time' ? [event.text] : [],
  )
  assert.equal(smileys.join(''), '😀😀😀')
})

test('runs logs of an output that was cut on the hub shows what is there, warns, and ends with 8', async (t) => {
  const programs = await startPrograms(t)
  const yaml = workflowText([{ name: 'one', cmd: 'echo kept; echo gone' }])
  const { run_id } = await programs.client.runs.create({ yaml })
  await programs.ended(run_id)
  const whole = await programs.call('runs', 'logs', run_id)
  assert.deepEqual([whole.code, whole.stderr], [0, ''])
  truncateSync(join(programs.data, 'output', run_id, '1.stdout'), 5)
  const bytes = await programs.call('runs', 'logs', run_id, '--attempt', '1')
  assert.deepEqual([bytes.code, bytes.stdout], [8, 'kept\n'])
  assert.match(bytes.stderr, /warning: the output is damaged: .*5 of 10 bytes/)
  const shown = await programs.call('runs', 'logs', run_id)
  assert.equal(shown.code, 8)
  assert.match(shown.stdout, /kept/)
  assert.doesNotMatch(shown.stdout, /gone/)
  assert.match(shown.stderr, /warning: the output is damaged: the hub no longer has 5 bytes/)
})
