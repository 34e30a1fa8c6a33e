import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand, eventually, type Started } from '../support/errand-command.ts'
import { freePort, ownRunner, peakMemoryMb, startPrograms, writeWorkflow } from '../support/programs.ts'
import { outputHash, sha256 } from '../support/programs-output.ts'
import { sized } from '../support/size.ts'

/** Large enough to show in the memory of a program that keeps the output. */
const BYTES = sized('bytes of output', 400_000_000, 1_000_000_000)
/**
 * The limit for memory in MB. Node itself takes 60 and its garbage up to 250. A program that keeps the output would
 * need more than the size of the output.
 */
const FLAT_MB = Math.min(500, (0.9 * BYTES) / 1e6)

const LINE = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n'
const cmd = `yes ${LINE.trim()} | head -c ${BYTES}`

function wholeHash(): string {
  const hash = createHash('sha256')
  const block = Buffer.from(LINE.repeat(10_000))
  for (let left = BYTES; left > 0; left -= block.length) hash.update(block.subarray(0, left))
  return hash.digest('hex')
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

/** Watches the memory of a process until it ends, and returns its peak. */
async function watchMemory(started: Started): Promise<number> {
  let peakMb = 0
  const timer = setInterval(() => {
    peakMb = Math.max(peakMb, peakMemoryMb(started.child.pid!))
  }, 20)
  await started.finished
  clearInterval(timer)
  return peakMb
}

function report(what: string, peakMb: number): void {
  console.log(`${what}: ${BYTES / 1e6} MB of output, ${peakMb.toFixed(0)} MB of memory`)
  assert.ok(peakMb > 20, `${what} was not measured`)
  assert.ok(peakMb < FLAT_MB, `${what} took ${peakMb} MB`)
}

/** Checks that the run succeeded, printed little and stored the whole output. */
async function checkRun(started: Started, folder: string): Promise<void> {
  const { code, stdout, stderr } = await started.finished
  assert.equal(code, 0, stderr)
  assert.ok(stdout.length < 30_000, `${stdout.length} characters were shown`)
  assert.match(stdout, /more on stdout; full output: /)
  const file = join(folder, readdirSync(folder).find((name) => name.includes('stdout'))!)
  assert.equal(statSync(file).size, BYTES)
  assert.equal(await fileHash(file), wholeHash())
}

test('for much output of one step on this machine, all of it is on disk and memory stays flat', async (t) => {
  const errand = errandCommand(t)
  const folder = join(errand.home, 'whole')
  const args = { max_output_bytes: 10_000, output_path: folder }
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), [{ name: 'much', cmd, args }])
  const started = errand.start(['run', file])
  report('errand run', await watchMemory(started))
  await checkRun(started, folder)
})

test('for much output of one step on an agent server, all of it is on disk here and memory stays flat', async (t) => {
  const errand = errandCommand(t)
  const address = `127.0.0.1:${await freePort()}`
  const agent = errand.start(['agent-server', '--addr', address, '--token', 'T'])
  await agent.until('Agent server on')
  const folder = join(errand.home, 'whole')
  const args = { max_output_bytes: 10_000, output_path: folder }
  const hosts = { far: { address: `http://${address}` } }
  const steps = [{ name: 'much', cmd, args, targets: ['far'] }]
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), steps, { inventory: { hosts } })
  const started = errand.start(['dispatch', '--token', 'T', file])
  report('errand dispatch', await watchMemory(started))
  report('errand agent-server', peakMemoryMb(agent.child.pid!))
  await checkRun(started, folder)
})

test('much output of one step through hub and runner is readable by range, and memory stays flat', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const { client, errand, home, env } = programs
  const folder = join(home, 'whole')
  const args = { max_output_bytes: 10_000, output_path: folder }
  const file = writeWorkflow(join(home, 'flow.yaml'), [{ name: 'much', cmd, args }])
  const started = errand.start(['run', '--hub', '--run-id', 'much', file], { env })
  report('errand run --hub', await watchMemory(started))
  await checkRun(started, folder)
  assert.deepEqual(await outputHash(client, 'much', 1), { length: BYTES, sha256: wholeHash() })
  for (const start of [0, 1_234_567, BYTES - 6400]) {
    const end = start + 6400
    const shift = start % LINE.length
    const part = LINE.repeat(102).slice(shift, shift + 6400)
    assert.deepEqual(await outputHash(client, 'much', 1, 'stdout', { start, end }), {
      length: 6400,
      sha256: sha256(part),
    })
  }
  report('the hub', peakMemoryMb(programs.hub.child.pid!))
  report('the runner', peakMemoryMb(ownRunner(programs)))
})

test('a reader of events that reads nothing does not make the hub hold the output in memory', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const { client, url } = programs
  const { run_id } = await client.runs.create({
    workflow: { version: 'v0.1', name: 'flow', steps: [{ name: 'much', action: 'cmd.run', args: { cmd } }] },
  })
  const token = (await client.tokens.create({ name: 'slow reader' })).token
  const stalled = await fetch(`${url}/api/runs/${run_id}/events?access_token=${token}`)
  const reader = stalled.body!.getReader()
  await reader.read()
  assert.equal((await programs.ended(run_id)).status, 'success')
  await eventually('the hub at rest', async () => (await client.health()).status === 'ok')
  report('the hub', peakMemoryMb(programs.hub.child.pid!))
  await reader.cancel()
})
