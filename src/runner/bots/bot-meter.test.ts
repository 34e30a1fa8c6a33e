import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContainerUse } from '../docker/docker-engine.ts'
import { BotMeter } from './bot-meter.ts'

const at = (second: number): string => new Date(second * 1000).toISOString()
const use = (second: number, cpuMs: number, memoryBytes: number, bytes = 0): ContainerUse => ({
  atMs: second * 1000,
  cpuMs,
  memoryBytes,
  receivedBytes: bytes,
  sentBytes: 0,
  readBytes: 0,
  writtenBytes: 0,
  heldBy: 'cgroup_v1',
})

test('current usage is measured between two looks, and the peak is stored', () => {
  const meter = new BotMeter(undefined)
  assert.equal(meter.total(), undefined)
  assert.equal(meter.take(use(10, 5_000, 700), at(0)).cpus, 0.5)
  const busy = meter.take(use(20, 14_000, 900, 5_000), at(0))
  assert.deepEqual([busy.cpus, busy.memory_bytes, busy.network_bytes_per_second], [0.9, 900, 500])
  const idle = meter.take(use(30, 14_000, 100, 5_000), at(0))
  assert.deepEqual([idle.cpus, idle.peak_cpus, idle.memory_bytes, idle.peak_memory_bytes], [0, 0.9, 100, 900])
  assert.deepEqual([idle.network_bytes_per_second, idle.peak_network_bytes_per_second], [0, 500])
})

test('disk usage is reported with the next look, and its peak outlives this process', () => {
  const first = new BotMeter(undefined)
  first.onDisk(900)
  first.onDisk(300)
  const seen = first.take(use(10, 0, 0), at(0))
  assert.deepEqual([seen.disk_bytes, seen.peak_disk_bytes], [300, 900])
  const later = new BotMeter(JSON.parse(JSON.stringify(first.facts)))
  later.onDisk(50)
  const again = later.take(use(20, 0, 0), at(0))
  assert.deepEqual([again.disk_bytes, again.peak_disk_bytes], [50, 900])
})

test('usage is added up across restarts of the container and the runner', () => {
  const first = new BotMeter(undefined)
  first.take(use(10, 5_000, 700, 40), at(0))
  assert.equal(first.take(use(15, 1_000, 10, 2), at(12)).cpu_ms, 6_000)
  const later = new BotMeter(JSON.parse(JSON.stringify(first.facts)))
  const seen = later.take(use(40, 2_000, 20, 3), at(12))
  assert.deepEqual([seen.cpu_ms, seen.network_received_bytes, seen.peak_memory_bytes], [7_000, 43, 700])
  assert.deepEqual(later.total(), {
    held_by: 'cgroup_v1',
    peak_memory_bytes: 700,
    cpu_ms: 7_000,
    peak_cpus: 0.5,
    network_received_bytes: 43,
    network_sent_bytes: 0,
  })
})
