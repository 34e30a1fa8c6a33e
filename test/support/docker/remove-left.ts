// remove-left.ts FILE: removes from the engine, and from Kubernetes, what an ended test file had noted there
// (`noteMade`).
import { readFileSync } from 'node:fs'
import { removeNamespace } from '../kubernetes/kubernetes.ts'
import { removeBotNetwork } from './bot-network.ts'
import { removeLabelled } from './docker.ts'
import { DockerApi } from './docker-api.ts'

const engine = new DockerApi()
const notes = readFileSync(process.argv[2]!, 'utf8').trim().split('\n')
const named = (kind: string) =>
  notes.filter((note) => note.startsWith(`${kind} `)).map((note) => note.slice(kind.length + 1))

for (const network of named('network')) {
  const inside = await engine.listContainers({ all: true, filters: { network: [network] } })
  for (const { Id } of inside) await engine.getContainer(Id).remove({ force: true, v: true })
}
for (const label of named('label')) await removeLabelled(label)
for (const network of named('network')) await removeBotNetwork(network)
for (const namespace of named('namespace')) await removeNamespace(namespace)
