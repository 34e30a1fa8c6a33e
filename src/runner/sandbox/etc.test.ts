import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { etcArguments } from './etc.ts'

const skip = sandboxMissing()

test('a file that differs is copied, and one from the programs is a link', () => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-etc-'))
  try {
    writeFileSync(join(folder, 'passwd'), 'one of its own')
    writeFileSync(join(folder, 'group.123.tmp'), 'half of one')
    const args = etcArguments(folder)
    const linked = (name: string) => args[args.indexOf(`/etc/${name}`) - 1]
    assert.equal(linked('passwd'), '../run/etc/passwd')
    assert.deepEqual(args.slice(0, 3), ['--ro-bind', folder, '/run/etc'])
    assert.ok(!args.some((word) => word.endsWith('.tmp')))
    const programs = '/usr/lib/os-release'
    if (existsSync(programs)) assert.equal(linked('os-release'), `..${programs}`)
    const machines = '/etc/ld.so.cache'
    if (!existsSync(machines)) return
    const copy = join(folder, 'ld.so.cache')
    assert.deepEqual(readFileSync(copy), readFileSync(machines))
    writeFileSync(copy, 'as it was before')
    assert.deepEqual(etcArguments(folder), args)
    assert.deepEqual(readFileSync(copy), readFileSync(machines))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('nothing in the /etc of a box can be changed, and the operator can add to it', {
  skip,
}, async () => {
  const existing = ['/etc/hosts', '/etc/group-', '/etc/ssh/ssh_config'].filter((path) => existsSync(path))
  const beside = ['/etc/ssh/ssh_config.d'].filter((path) => existsSync(path))
  using here = boxPlace({ mounts: { writable: [], readable: [...existing, ...beside] } })
  const box = here.box()
  await box.prepare()
  const text = `cat /etc/passwd /etc/ssl/openssl.cnf >own; cat ${existing.join(' ')} >given
    echo evil >/etc/passwd; rm /etc/passwd; touch /etc/new; touch /run/etc/new`
  const { argv, cwd, env } = here.words(box, text)
  const { stderr } = spawnSync(argv[0]!, argv.slice(1), { cwd, env, encoding: 'utf8' })
  assert.equal(await box.end(), true)
  assert.equal(stderr.match(/Read-only file system/g)?.length, 4, stderr)
  const read = (name: string) => readFileSync(join(here.workspace, name), 'utf8')
  assert.match(read('own'), /^errand:x:1000:/)
  assert.equal(read('given'), existing.map((path) => readFileSync(path, 'utf8')).join(''))
})
