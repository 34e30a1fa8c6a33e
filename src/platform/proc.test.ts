import assert from 'node:assert/strict'
import { type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { environmentOf, parseStat, processStat, procText, spentCpuMs, visibleProcesses } from './proc.ts'

test('a process is recognized by its environment even while it starts one program after another', async (t) => {
  const again = 'exec sh -c "$AGAIN"'
  const child = spawn('sh', ['-c', again], { env: { PATH: process.env.PATH, AGAIN: again, MARK: 'x' } })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  let seen = 0
  for (let attempts = 0; attempts < 3000; attempts++) {
    const environment = environmentOf(child.pid!)
    if (environment === undefined) continue
    assert.ok(`${environment}\0`.includes('\0MARK=x\0'), `look ${attempts}`)
    seen++
  }
  assert.ok(seen > 0)
})

test("a process without an environment, one that has ended and the machine's first one can be read", async (t) => {
  const child = spawn('/bin/sleep', ['1000'], { env: {} })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  assert.equal(environmentOf(child.pid!), '')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(environmentOf(child.pid!), '')
  assert.equal(typeof environmentOf(1), 'string')
})

const LINE =
  '42 (a) b (c) R 7 40 41 0 -1 4194304 1 0 0 0 100 20 3 4 20 0 5 0 9001 1000 17 18446744073709551615'

test('a process is read from its line, with any name', () => {
  assert.deepEqual(parseStat(`${LINE}\n`), {
    pid: 42,
    parent: 7,
    group: 40,
    session: 41,
    start: '9001',
    threads: 5,
    cpuMs: 1270,
    childrenCpuMs: 70,
    residentPages: 17,
  })
  assert.equal(parseStat(LINE.replace(' R ', ' Z ')), undefined)
  assert.equal(parseStat(''), undefined)
  assert.equal(parseStat('42 (cut) R 7 40'), undefined)
})

test("a child's usage is known until it is reaped, and no other process's is", async () => {
  const burn = 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done'
  const child = spawn('sh', ['-c', `${burn}; echo done; read _`], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  // Without a turn of the event loop the child is not reaped.
  while (processStat(child.pid!) !== undefined);
  assert.ok(spentCpuMs(child.pid!)! > 0)
  await once(child, 'exit')
  assert.equal(spentCpuMs(child.pid!), undefined)
  assert.equal(spentCpuMs(1), undefined)
})

test('this process is among the visible ones', () => {
  const own = visibleProcesses().find(({ pid }) => pid === process.pid)
  assert.equal(own?.start, processStat(process.pid)!.start)
  assert.ok(own!.residentPages > 0)
  assert.equal(procText('self', 'no such file'), undefined)
})

test('no other file reads processes from /proc', () => {
  const root = join(import.meta.dirname, '../..')
  const own = join(import.meta.filename, '..', import.meta.filename.replace(/.*\/(.*)\.test\.ts$/, '$1.ts'))
  // The paths of a process's descriptors (`fd`) and namespaces (`ns`) may be read like other files.
  const read = /['"`]\/proc\/(?:self|thread-self|\d+|\$\{[^}]*\})\/(?!fd\b|ns\/)/
  const files = globSync('src/**/*.ts', { cwd: root }).filter(
    (file) => !/\.test\.ts$|fixture|conformance/.test(file) && join(root, file) !== own,
  )
  assert.ok(files.length > 100 && read.test(readFileSync(own, 'utf8')))
  assert.deepEqual(
    files.filter((file) => read.test(readFileSync(join(root, file), 'utf8'))),
    [],
  )
})

test('a program closes the descriptors it inherited, but not those it opened itself', {
  skip: process.platform !== 'linux' && 'it takes /proc',
}, () => {
  const script = `
    import { spawnSync } from 'node:child_process'
    import { openSync, readFileSync } from 'node:fs'
    import { closeInherited } from ${JSON.stringify(new URL('./proc.ts', import.meta.url).href)}
    const own = openSync('/etc/hostname', 'r')
    const handed = () => spawnSync('/bin/sh', ['-c', 'ls /proc/self/fd'], { encoding: 'utf8' }).stdout.split('\\n')
    const before = handed().includes('40')
    closeInherited()
    console.log(before, handed().includes('40'), readFileSync(own).length > 0)
  `
  const stdio = [...Array(41)].map((_, fd) => (fd === 1 ? 'pipe' : fd === 40 ? 0 : 'ignore')) as StdioOptions
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    stdio,
    encoding: 'utf8',
  })
  assert.equal(stdout, 'true false true\n')
})
