import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parseAllDocuments } from 'yaml'

const hub = join(import.meta.dirname, '../../deploy/kubernetes/hub.yaml')

interface Probe {
  httpGet: { path: string }
  timeoutSeconds?: number
}

test("the probes of the hub in a cluster give a busy hub five seconds instead of Kubernetes' default of one", () => {
  const { spec } = parseAllDocuments(readFileSync(hub, 'utf8'))
    .map((document) => document.toJS())
    .find(({ kind }) => kind === 'StatefulSet')
  const [{ readinessProbe, livenessProbe }] = spec.template.spec.containers as [Record<string, Probe>]
  for (const probe of [readinessProbe!, livenessProbe!]) {
    assert.equal(probe.httpGet.path, '/health')
    assert.ok((probe.timeoutSeconds ?? 1) >= 5)
  }
})
