import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { composeHere, composeUp } from '../support/docker/compose.ts'
import { dockerFor, dockerHere, labelled } from '../support/docker/docker.ts'
import { errandImage } from '../support/docker/errand-image.ts'
import { inside } from '../support/docker/inside.ts'
import { eventually } from '../support/errand-command.ts'
import { freePort, workflowText } from '../support/programs.ts'

const deploy = join(import.meta.dirname, '../../deploy')
const compose = await composeHere()
const skip =
  (await dockerHere()) ||
  (compose === undefined && "there is no docker compose (Debian's package docker-compose)")

test('the hub of compose.docker.yaml creates a container beside itself for a run', { skip }, async (t) => {
  const docker = dockerFor(t)
  const folder = mkdtempSync(join(tmpdir(), 'errand-deploy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const image = await errandImage()
  // The name that the test's compose project gives its network, instead of the name in the file.
  const network = `${docker.name('compose-docker')}_default`
  // A user writes these names into the file: of the image and of the network.
  const config = readFileSync(join(deploy, 'errand.docker.yaml'), 'utf8')
  const own = config
    .replace('"errand:latest"', `"${image}"`)
    .replace('network: errand,', `network: ${network},`)
  writeFileSync(join(folder, 'errand.docker.yaml'), own)
  const project = await composeUp({
    ...{ compose: compose!, docker, folder, file: join(deploy, 'compose.docker.yaml') },
    env: {
      ERRAND_IMAGE: image,
      DOCKER_GID: String(statSync('/var/run/docker.sock').gid),
      ERRAND_LISTEN: `127.0.0.1:${await freePort()}`,
    },
    ...{ services: ['hub'], volumes: ['hub-data'] },
  })
  const label = [`com.docker.compose.project=${project}`]
  const [found] = await docker.engine.listContainers({ all: true, filters: { label } })
  const hub = docker.engine.getContainer(found!.Id)
  await eventually('the health of the hub', () =>
    inside(hub, ['node', '/opt/errand/deploy/healthcheck.mjs'])
      .catch(() => undefined)
      .then((text) => text !== undefined),
  )
  const inventory = { hosts: { build: { group: 'builders' } } }
  const flow = workflowText([{ name: 'who', targets: ['build'], cmd: 'echo "user $(id -un)"' }], {
    inventory,
  })
  const output = await inside(hub, ['errand', 'run', '--hub', '--json', '-'], flow)
  assert.match(output, /user errand/)
  const [, id] = /errand-([0-9a-f]{8})-/.exec(output)!
  await eventually('the removal of what was created', async () => {
    const { containers, volumes } = await labelled(`errand.hub=${id}`)
    return containers.length + volumes.length === 0
  })
})
