import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { takePidLock } from './pid-lock.ts'

function lockFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-lock-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return join(folder, 'lock')
}

test('a lock can be taken once, names its holder, and is free after its release', (t) => {
  const file = lockFile(t)
  const first = takePidLock(file)
  assert.ok('release' in first)
  const second = takePidLock(file)
  assert.ok('holder' in second)
  assert.equal(second.holder.pid, process.pid)
  first.release()
  first.release()
  const third = takePidLock(file)
  assert.ok('release' in third)
  third.release()
  assert.deepEqual(readdirSync(join(file, '..')), [])
})

test('a lock that a killed process left is taken over', async (t) => {
  const file = lockFile(t)
  const script = `import('${import.meta.resolve('./pid-lock.ts')}').then(({ takePidLock }) => {
    process.stdout.write(String('release' in takePidLock(${JSON.stringify(file)}))); setInterval(() => {}, 1000) })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  assert.equal(String((await once(child.stdout, 'data'))[0]).trim(), 'true')
  assert.ok('holder' in takePidLock(file))
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok('release' in takePidLock(file))
})

const noProc = !existsSync('/proc/self/stat') && 'this system has no /proc'
test('a killed process holds no lock even before its parent reaps it', {
  skip: noProc,
}, async (t) => {
  const file = lockFile(t)
  // The shell starts a process, then turns into a program that knows nothing of that child.
  const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => parent.kill('SIGKILL'))
  const pid = Number(String((await once(parent.stdout, 'data'))[0]))
  const stat = () => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  writeFileSync(file, JSON.stringify({ pid, started: `${boot} ${stat()[19]}` }))
  while (stat()[0] !== 'Z') await delay(5)
  assert.ok('release' in takePidLock(file))
})

test('another process with the number of the old one holds no lock', (t) => {
  const file = lockFile(t)
  writeFileSync(file, JSON.stringify({ pid: process.pid, started: 'another boot 1' }))
  assert.ok('release' in takePidLock(file))
})
