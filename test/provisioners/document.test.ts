import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { parseConfig } from '../../src/config/config-file.ts'
import { dockerHere } from '../support/docker/docker.ts'
import { errandImage } from '../support/docker/errand-image.ts'
import { blocksOf, withWords } from '../support/document.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, processesOf, startPrograms } from '../support/programs.ts'

const PAGE = 'docs/provisioners.md'
const [config, workflow, byHand] = blocksOf(PAGE).map(({ text }) => text) as [string, string, string]

interface Way {
  config: string
  /** The content of the file that the last command names. */
  workflow: string
  /** The command of the hub, which keeps running, and that of the run. */
  commands: string
  /** The address of the hub. */
  host?: string
  hubEnv?: NodeJS.ProcessEnv
}

/** Starts a hub and a run as the document says. Returns what the run prints. */
async function follow(t: TestContext, way: Way): Promise<{ programs: Programs; stdout: string }> {
  const [up, run] = way.commands.trim().split('\n')
  const host = way.host === undefined ? '' : ' --host [\\d.]+'
  assert.match(up!, new RegExp(`^errand up --no-runner${host} +#`))
  const [, file] = /^errand run (\w+\.yaml) --hub$/.exec(run!)!
  const programs = await startPrograms(t, {
    ...{ runner: 'none', host: way.host, hubEnv: way.hubEnv },
    prepare: ({ data }) => {
      mkdirSync(data, { recursive: true, mode: 0o700 })
      writeFileSync(join(data, 'errand.yaml'), way.config)
    },
  })
  writeFileSync(join(programs.home, file!), way.workflow)
  const { code, stdout, stderr } = await programs.callIn(programs.home, 'run', file!, '--hub')
  assert.equal(code, 0, stdout + stderr)
  return { programs, stdout }
}

const nothingLeft = ({ client }: Programs) =>
  eventually('the removal of what was created', async () => (await client.runners.list()).length === 0)

test('a process beside the hub works as documented: from nothing to a first run, and by hand', async (t) => {
  const [commands] = blocksOf(PAGE, 'process')
  const { programs, stdout } = await follow(t, { config, workflow, commands: commands!.text })
  assert.match(stdout, /built in \S+\/made\/errand-/)
  const pool = async () => (await programs.client.runners.groups({ name: 'builders' }))[0]?.pool
  const received: unknown[] = []
  for (const line of byHand.trim().split('\n')) {
    const [, words] = /^errand (.*?)(?: +#.*)?$/.exec(line)!
    const { code, stderr } = await programs.call(...words!.split(' '))
    assert.equal(code, 0, `${line}: ${stderr}`)
    const { max, spare, idle_seconds, paused } = (await pool())!
    received.push([max, spare, idle_seconds, paused])
  }
  const changed = [40, 2, 300]
  assert.deepEqual(received, [
    [...changed, false],
    [...changed, true],
    [...changed, false],
    [...changed, false],
    [20, 1, 60, false],
  ])
})

test('a container works as documented, from nothing to a first run', {
  skip: await dockerHere(),
}, async (t) => {
  const [prepare, config, workflow, commands] = blocksOf(PAGE, 'docker').map(({ text }) => text)
  assert.match(prepare!, /^docker build -t errand -f deploy\/Dockerfile \.$/m)
  const [, address] = /^(ip -brief [^#]+)#/m.exec(prepare!)!
  const { stdout: printed } = await promisify(execFile)('sh', ['-c', address!])
  const [, host] = / ([\d.]+)\/\d+ *$/.exec(printed.trim())!
  const { programs, stdout } = await follow(t, {
    config: withWords(config!, { 'image: errand,': `image: "${await errandImage()}",` }),
    ...{ workflow: workflow!, commands: commands!, host: host! },
  })
  assert.match(stdout, /build \| errand\n/)
  await nothingLeft(programs)
})

/** Programs that replace another machine: commands sent there run here, and its units are processes. */
const MACHINE = {
  ssh: `#!/bin/sh
[ "$1" = build-1 ] || exit 255
exec sh -c "$(printf %s "$2" | sed "s#/run/#$MACHINE/run/#g; s#/srv/#$MACHINE/srv/#g")"`,
  'systemd-run': `#!/bin/sh
[ "$1 $3" = "--unit -p" ] || exit 1
unit=$2 file=\${4#EnvironmentFile=}; shift 4
setsid env -i PATH="$PATH" HOME="$HOME" $(cat "$file") "$@" >"$MACHINE/units/$unit.log" 2>&1 </dev/null &
echo $! >"$MACHINE/units/$unit"`,
  systemctl: `#!/bin/sh
cd "$MACHINE/units" || exit 1
lives() { kill -0 "$(cat "$1" 2>/dev/null)" 2>/dev/null; }
case "$1" in
  is-active) lives "$3" ;;
  list-units) for unit in $5; do
    [ ! -e "$unit" ] || { lives "$unit" && echo "$unit.service loaded active running $unit" || echo "$unit.service loaded failed failed $unit"; }
  done ;;
  stop) if lives "$2"; then kill "$(cat "$2")"; while lives "$2"; do sleep 0.1; done; fi; rm -f "$2" ;;
  reset-failed) rm -f "$2" ;;
  *) exit 1 ;;
esac`,
}

test("the operator's own program works as documented, from nothing to a first run", async (t) => {
  const [group, commands, program] = blocksOf(PAGE, 'command').map(({ text }) => text)
  const folder = mkdtempSync(join(tmpdir(), 'errand-machine-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['bin', 'run', 'srv', 'units']) mkdirSync(join(folder, name))
  const executable = (name: string, text: string): string => {
    writeFileSync(join(folder, 'bin', name), text, { mode: 0o755 })
    return join(folder, 'bin', name)
  }
  for (const [name, text] of Object.entries(MACHINE)) executable(name, text)
  const own = executable('runners-by-ssh', program!)
  const [, named] = /command: \[(.*)\]/.exec(group!)!
  assert.ok(program!.startsWith(`#!/bin/sh\n# ${named}. `))
  const errand = join(import.meta.dirname, '../../bin')
  const { programs, stdout } = await follow(t, {
    config: withWords(group!, { [named!]: own }),
    ...{ workflow, commands: commands!, host: '127.0.0.1' },
    hubEnv: { MACHINE: folder, PATH: `${join(folder, 'bin')}:${errand}:${process.env.PATH}` },
  })
  assert.match(stdout, /built in \S+\/srv\/errand-/)
  await programs.call('runners', 'empty-group', 'builders')
  await nothingLeft(programs)
  await eventually('the end of its process', () => processesOf(`--workspace\0${folder}/srv`).length === 0)
})

test('a hub accepts each group of the document', () => {
  const groups = blocksOf(PAGE).filter(({ kind, text }) => kind === 'yaml' && /^groups:/m.test(text))
  const taken = groups.map(({ text }) => parseConfig(text, 'errand.yaml'))
  assert.deepEqual(taken.flatMap(({ pools }) => pools.map(({ provisioner }) => provisioner)).sort(), [
    'command',
    'docker',
    'kubernetes',
    'process',
  ])
  assert.deepEqual(
    taken.flatMap(({ warnings }) => warnings),
    [],
  )
})
