import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupPlaces } from './cgroups.ts'

const V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate'

test('version 2 only: the path is below its mount', () => {
  const places = cgroupPlaces(V2, '0::/system.slice/errand.service\n')
  assert.equal(places.v2, '/sys/fs/cgroup/system.slice/errand.service')
  assert.equal(places.v1.size, 0)
})

test('version 1: each controller is at its mount, even if two share one', () => {
  const mountinfo = [
    '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct',
    '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
    '20 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
  ].join('\n')
  const places = cgroupPlaces(mountinfo, '5:memory:/a b\n4:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n')
  assert.deepEqual(Object.fromEntries(places.v1), {
    memory: '/sys/fs/cgroup/memory/a b',
    cpu: '/sys/fs/cgroup/cpu,cpuacct',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
  })
  assert.equal(places.v2, '/sys/fs/cgroup/unified')
})

test('in a container whose mount starts at its own cgroup, the path is relative to that', () => {
  const mountinfo = '35 31 0:32 /docker/abc /sys/fs/cgroup/my\\040memory ro - cgroup cgroup rw,memory'
  const of = (cgroup: string) => cgroupPlaces(mountinfo, cgroup).v1.get('memory')
  assert.equal(of('5:memory:/docker/abc'), '/sys/fs/cgroup/my memory')
  assert.equal(of('5:memory:/docker/abc/inner'), '/sys/fs/cgroup/my memory/inner')
  assert.equal(of('5:memory:/docker/other'), undefined)
})

test('a cgroup outside its namespace has no path', () => {
  assert.equal(cgroupPlaces(V2, '0::/../other').v2, undefined)
  assert.equal(cgroupPlaces('', '').v2, undefined)
})
