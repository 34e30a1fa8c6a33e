import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownFolders } from './container-cgroup.ts'

const mount = (place: string, type: string, options: string) =>
  `35 31 0:32 / ${place} rw,relatime - ${type} cgroup rw,${options}`
const V1 = [
  mount('/sys/fs/cgroup/memory', 'cgroup', 'memory'),
  mount('/sys/fs/cgroup/cpuacct', 'cgroup', 'cpuacct'),
  mount('/sys/fs/cgroup/unified', 'cgroup2', 'nsdelegate'),
].join('\n')
const V2 = mount('/sys/fs/cgroup', 'cgroup2', 'nsdelegate')

test("the figures are the container's, and never the whole machine's once its process is dead", () => {
  const alive = '4:memory:/docker/abc\n2:cpuacct:/docker/abc\n0::/docker/abc\n'
  const dead = '4:memory:/\n2:cpuacct:/\n0::/docker/abc\n'
  const folders = ownFolders('abc', V1, alive)
  assert.ok(typeof folders === 'object')
  assert.deepEqual(
    [folders.memory, folders.cpuacct],
    ['/sys/fs/cgroup/memory/docker/abc', '/sys/fs/cgroup/cpuacct/docker/abc'],
  )
  assert.equal(ownFolders('abc', V1, dead), undefined)
  assert.equal(ownFolders('abc', V2, '0::/docker/abc\n'), '/sys/fs/cgroup/docker/abc')
  assert.equal(ownFolders('abc', V2, '0::/\n'), undefined)
})
