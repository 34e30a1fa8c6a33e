import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { checkGlobs, matchingFiles } from './matching-files.ts'

function workspace(t: TestContext, ...paths: string[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'errand-matching-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  for (const path of paths) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), path)
  }
  return dir
}

async function found(folder: string, globs: string[], limits?: { names: number; depth: number }) {
  const paths: string[] = []
  for await (const { path, file, why } of matchingFiles(folder, globs, limits))
    paths.push(file ? `${path}=${await file.readFile('utf8')}` : `${path}: ${why}`)
  return paths
}

test('globs match regular files below the workspace, sorted by name', async (t) => {
  const dir = workspace(t, 'a.xml', 'b.txt', 'out/c.xml', 'out/deep/d.xml', '.git/e.xml', 'other/f.xml')
  const cases: [globs: string[], paths: string[]][] = [
    [['*.xml'], ['a.xml']],
    [['**/*.xml'], ['a.xml', 'other/f.xml', 'out/c.xml', 'out/deep/d.xml']],
    [['out/'], ['out/c.xml', 'out/deep/d.xml']],
    [
      ['./out/*.xml', 'b.txt'],
      ['b.txt', 'out/c.xml'],
    ],
    [['o*/{c,f}.xml'], ['other/f.xml', 'out/c.xml']],
    [['.git/*'], ['.git/e.xml']],
    [['none/**', 'a.xml/b'], []],
  ]
  for (const [globs, paths] of cases)
    assert.deepEqual(
      await found(dir, globs),
      paths.map((path) => `${path}=${path}`),
      globs.join(),
    )
  assert.deepEqual(await found(join(dir, 'gone'), ['**']), [])
})

test('anything but a regular file of the workspace is left out with its reason, and never waited for', async (t) => {
  const outside = workspace(t, 'secret.xml', 'inner/secret.xml')
  const dir = workspace(t, 'real.xml')
  symlinkSync(join(outside, 'secret.xml'), join(dir, 'link.xml'))
  symlinkSync(join(outside, 'inner'), join(dir, 'folder'))
  symlinkSync('..', join(dir, 'up'))
  execFileSync('mkfifo', [join(dir, 'pipe.xml')])
  assert.deepEqual(await found(dir, ['**/*.xml']), [
    'link.xml: it is a link',
    'pipe.xml: it is not a regular file',
    'real.xml=real.xml',
  ])
  assert.deepEqual(await found(dir, ['folder/*.xml', 'up/**']), [])
  for (const glob of ['../*', 'a/../../b']) assert.throws(() => checkGlobs([glob]), /leads out/)
})

test('a folder that becomes a link while it is read leads nowhere else', async (t) => {
  const outside = workspace(t, 'two.xml')
  const dir = workspace(t, 'a/one.xml', 'a/two.xml', 'b/one.xml')
  const paths: string[] = []
  for await (const { path, file } of matchingFiles(dir, ['**/*.xml'])) {
    if (path === 'a/one.xml') {
      renameSync(join(dir, 'a'), join(dir, 'was'))
      symlinkSync(outside, join(dir, 'a'))
      rmSync(join(dir, 'b'), { recursive: true })
      symlinkSync(outside, join(dir, 'b'))
    }
    paths.push(`${path}=${await file?.readFile('utf8')}`)
  }
  assert.deepEqual(paths.slice(0, 2), ['a/one.xml=a/one.xml', 'a/two.xml=a/two.xml'])
  assert.ok(!paths.join().includes('=two.xml'), paths.join())
})

test('many names and deep folders hit a limit, which is reported', async (t) => {
  const deep = `${'d/'.repeat(5)}x`
  const dir = workspace(t, ...['1', '2', '3', '4'].map((name) => `many/${name}`), deep)
  assert.deepEqual(await found(dir, ['d/**'], { names: 100, depth: 3 }), ['d/d/d: it is nested too deeply'])
  assert.deepEqual(await found(dir, ['many/*'], { names: 4, depth: 9 }), [
    'many/1=many/1',
    'many/2=many/2',
    'many: there are more than 4 names',
  ])
})

test('a folder with more names than the limit is not read to the end', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-names-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (let index = 0; index < 2000; index++) writeFileSync(join(folder, `${index}`), '')
  const seen: string[] = []
  for await (const { path, why } of matchingFiles(folder, ['**'], { names: 10, depth: 3 }))
    seen.push(why ?? path)
  assert.equal(seen.length, 11)
  assert.equal(seen.at(-1), 'there are more than 10 names')
})
