import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { lease, poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'

const place = await poolPlace()
after(() => place.close())
const outside = join(place.dir, 'outside')
mkdirSync(outside)
const { url } = place.repository([
  { path: 'README.md', content: 'hello\n' },
  { path: 'bin/run', content: '#!/bin/sh\n', mode: '100755' },
  { path: 'deep/er/file', content: 'deep\n' },
  { path: 'link', content: 'README.md', mode: '120000' },
  { path: '.gitignore', content: 'ignored\n' },
  { path: 'sub', content: '1'.repeat(40), mode: '160000' },
  { path: 'n\u00e4me with\ttab', content: 'odd\n' },
])

/** Returns everything in a folder except .git: kind, mode and content of each. */
function stateOf(work: string): Record<string, string> {
  const names = readdirSync(work, { recursive: true, encoding: 'utf8' }).filter(
    (name) => !/^\.git(\/|$)/.test(name),
  )
  const entries = names.sort().map((name) => {
    const path = join(work, name)
    const stat = lstatSync(path)
    const content = stat.isFile()
      ? readFileSync(path, 'utf8')
      : stat.isSymbolicLink()
        ? readlinkSync(path)
        : ''
    return [name, `${stat.mode.toString(8)} ${content}`]
  })
  return Object.fromEntries(entries)
}

const git = (work: string, ...args: string[]) =>
  execFileSync('git', args, { cwd: work, encoding: 'utf8', env: { PATH: process.env.PATH, HOME: outside } })

const marker = join(outside, 'ran')
const program = join(outside, 'program')
writeFileSync(program, `#!/bin/sh\ntouch '${marker}'\nexec cat\n`, { mode: 0o755 })

/** Whatever a user of a slot may leave; each is alone in its slot. */
const traps: Readonly<Record<string, (work: string) => void | Promise<void>>> = {
  'changed, new, ignored and removed files': (work) => {
    writeFileSync(join(work, 'README.md'), 'changed\n')
    writeFileSync(join(work, 'new'), 'new\n')
    writeFileSync(join(work, 'ignored'), 'ignored\n')
    rmSync(join(work, 'deep'), { recursive: true })
    rmSync(join(work, 'link'))
    symlinkSync('/etc/passwd', join(work, 'link'))
  },
  'a change under an old time stamp and size': (work) => {
    const file = join(work, 'README.md')
    const { atime, mtime } = statSync(file)
    writeFileSync(file, 'HELLO\n')
    utimesSync(file, atime, mtime)
  },
  'files that their index is told to overlook': (work) => {
    writeFileSync(join(work, 'README.md'), 'hidden\n')
    writeFileSync(join(work, 'bin/run'), 'hidden\n')
    git(work, 'update-index', '--skip-worktree', 'README.md')
    git(work, 'update-index', '--assume-unchanged', 'bin/run')
  },
  'programs in the configuration, attributes and hooks': (work) => {
    for (const name of [
      'core.fsmonitor',
      'core.sshCommand',
      'core.pager',
      'filter.x.clean',
      'filter.x.smudge',
      'core.editor',
    ])
      git(work, 'config', name, program)
    writeFileSync(join(work, '.gitattributes'), '* filter=x\n')
    writeFileSync(join(work, '.git/info/attributes'), '* filter=x\n')
    mkdirSync(join(work, '.git/hooks'))
    for (const name of ['post-checkout', 'post-index-change', 'reference-transaction'])
      symlinkSync(program, join(work, '.git/hooks', name))
    writeFileSync(join(work, 'README.md'), 'changed\n')
  },
  'a nested repository with programs': (work) => {
    git(work, 'init', '--quiet', 'nested')
    git(join(work, 'nested'), 'config', 'core.fsmonitor', program)
    git(
      join(work, 'nested'),
      '-c',
      'core.fsmonitor=false',
      '-c',
      'user.name=x',
      '-c',
      'user.email=x@x',
      'commit',
      '-q',
      '--allow-empty',
      '-m',
      'x',
    )
    git(work, 'init', '--quiet', 'sub')
    git(join(work, 'sub'), 'config', 'core.fsmonitor', program)
    writeFileSync(join(work, 'sub/file'), 'x')
  },
  'a .git file that leads elsewhere': (work) => {
    renameSync(join(work, '.git'), join(outside, 'moved.git'))
    writeFileSync(join(work, '.git'), `gitdir: ${join(outside, 'moved.git')}\n`)
  },
  'a .git that is a link, and locks': (work) => {
    renameSync(join(work, '.git'), join(outside, 'linked.git'))
    symlinkSync(join(outside, 'linked.git'), join(work, '.git'))
    writeFileSync(join(outside, 'linked.git/index.lock'), '')
    writeFileSync(join(outside, 'precious'), 'precious')
  },
  'no .git at all': (work) => rmSync(join(work, '.git'), { recursive: true }),
  'FIFOs and sockets': async (work) => {
    execFileSync('mkfifo', [join(work, 'fifo'), join(work, 'deep/fifo')])
    rmSync(join(work, 'README.md'))
    execFileSync('mkfifo', [join(work, 'README.md')])
    const server = createServer().listen(join(work, 's'))
    await once(server, 'listening')
    renameSync(join(work, 's'), join(work, 'socket'))
    server.close()
  },
  'folders that are closed, and odd modes': (work) => {
    mkdirSync(join(work, 'closed/inner'), { recursive: true })
    writeFileSync(join(work, 'closed/inner/file'), 'x')
    chmodSync(join(work, 'closed/inner'), 0)
    chmodSync(join(work, 'closed'), 0o100)
    chmodSync(join(work, 'deep'), 0o555)
    chmodSync(join(work, 'README.md'), 0o600)
    chmodSync(join(work, 'bin/run'), 0o644)
    chmodSync(join(work, 'bin'), 0o2777)
  },
  'a folder in the place of a file, and a link in the place of a folder': (work) => {
    rmSync(join(work, 'README.md'))
    mkdirSync(join(work, 'README.md/inner'), { recursive: true })
    rmSync(join(work, 'deep'), { recursive: true })
    mkdirSync(join(outside, 'target/er'), { recursive: true })
    writeFileSync(join(outside, 'target/er/file'), 'outside\n')
    symlinkSync(join(outside, 'target'), join(work, 'deep'))
  },
  'commits, tags, branches and alternates of their own': (work) => {
    git(work, '-c', 'user.name=x', '-c', 'user.email=x@x', 'commit', '-q', '--allow-empty', '-m', 'x')
    git(work, 'tag', 'mine')
    writeFileSync(join(work, '.git/objects/info/alternates'), `${outside}\n`)
    writeFileSync(join(work, '.git/shallow'), `${'1'.repeat(40)}\n`)
  },
}

test('a slot is like new after everything that its user may leave, and no program of theirs has run', async () => {
  const pool = place.pool({ log: (message) => assert.fail(message) })
  const first = await lease(pool, 'run_0', { repo: url })
  const clean = stateOf(first.work)
  assert.equal(Object.keys(clean).length, 10)
  const config = readFileSync(join(first.work, '.git/config'), 'utf8')
  let n = 0
  for (const [name, leave] of Object.entries(traps)) {
    const { work } = pool.of(`run_${n}`)!
    assert.equal(work, first.work, name)
    await leave(work)
    rmSync(marker, { force: true })
    await pool.release(`run_${n}`)
    await pool.settled()
    assert.deepEqual(stateOf(work), clean, name)
    assert.equal(existsSync(join(work, '.git')), false, name)
    const next = await lease(pool, `run_${++n}`, { repo: url })
    assert.equal(next.work, first.work, name)
    assert.deepEqual(stateOf(work), clean, name)
    assert.equal(existsSync(marker), false, name)
    assert.deepEqual(
      readdirSync(join(work, '.git')).sort(),
      ['HEAD', 'config', 'index', 'info', 'objects', 'packed-refs', 'refs'],
      name,
    )
    assert.equal(readFileSync(join(work, '.git/config'), 'utf8'), config)
    assert.equal(git(work, 'status', '--porcelain', '--ignored', '--untracked-files=all'), '', name)
  }
  assert.equal(readFileSync(join(outside, 'precious'), 'utf8'), 'precious')
  assert.equal(readFileSync(join(outside, 'target/er/file'), 'utf8'), 'outside\n')
  await pool.close()
})

test('a slot that cannot reliably be made like new is dropped and reported, and another is created', async () => {
  const reported: string[] = []
  const pool = place.pool({ log: (message) => reported.push(message) })
  await pool.settled()
  const damages: Readonly<Record<string, (work: string) => unknown>> = {
    'is still using it': (work) => spawn('sleep', ['1000'], { cwd: join(work, 'deep'), stdio: 'ignore' }),
    'parts of it are missing': (work) => rmSync(work, { recursive: true }),
    'too long': (work) => {
      const half = Array.from({ length: 150 }, () => 'a'.repeat(20)).join('/')
      const script = `mkdir -p ${half} && cd ${half} && mkdir -p ${half}`
      execFileSync('/bin/sh', ['-c', script], { cwd: work })
    },
    'git says': (work) => writeFileSync(join(work, '../own.git/HEAD'), 'garbage'),
  }
  let n = 0
  for (const [why, damage] of Object.entries(damages)) {
    const run_id = `run_${++n}`
    const { work } = await lease(pool, run_id, { repo: url })
    const left = damage(work)
    await pool.release(run_id)
    await pool.settled()
    if (left instanceof Object && 'kill' in left) (left as ReturnType<typeof spawn>).kill('SIGKILL')
    assert.match(reported.pop() ?? '', new RegExp(why))
    assert.equal(existsSync(join(work, '..')), false, why)
    assert.deepEqual(readdirSync(join(place.dir, 'pool/trash')), [], why)
    const next = await lease(pool, `run_${++n}`, { repo: url })
    assert.notEqual(next.work, work)
    await pool.release(`run_${n}`)
    await pool.settled()
  }
  await pool.close()
})
