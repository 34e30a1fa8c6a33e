/** The cgroups that a process is in, as folders of the mounted hierarchies. */
export interface CgroupPlaces {
  /** By controller: memory, cpu, cpuacct, pids … */
  v1: ReadonlyMap<string, string>
  v2: string | undefined
}

interface Mount {
  root: string
  point: string
  type: string
  options: readonly string[]
}

/** From the texts of /proc/self/mountinfo and /proc/self/cgroup. */
export function cgroupPlaces(mountinfo: string, cgroup: string): CgroupPlaces {
  const mounts = mountinfo.split('\n').flatMap((line) => mountOf(line) ?? [])
  const v1 = new Map<string, string>()
  let v2: string | undefined
  for (const line of cgroup.split('\n')) {
    const [number, controllers, ...rest] = line.split(':')
    if (controllers === undefined || rest.length === 0) continue
    const path = rest.join(':')
    if (number === '0' && controllers === '') {
      const mount = mounts.find(({ type }) => type === 'cgroup2')
      v2 = mount && folderOf(mount, path)
      continue
    }
    for (const controller of controllers.split(',')) {
      const mount = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(controller))
      const folder = mount && folderOf(mount, path)
      if (folder !== undefined) v1.set(controller, folder)
    }
  }
  return { v1, v2 }
}

function mountOf(line: string): Mount | undefined {
  const [before, after] = line.split(' - ')
  const [, , , root, point] = before!.split(' ')
  const [type, , options] = after?.split(' ') ?? []
  if (point === undefined || options === undefined || !type?.startsWith('cgroup')) return undefined
  return { root: unescaped(root!), point: unescaped(point), type, options: options.split(',') }
}

/** Undefined for a cgroup outside what is mounted, as a container may see it. */
function folderOf({ root, point }: Mount, path: string): string | undefined {
  const below =
    root === '/' ? path : path === root ? '/' : path.startsWith(`${root}/`) ? path.slice(root.length) : ''
  if (below === '' || below.split('/').includes('..')) return undefined
  return below === '/' ? point : point + below
}

const unescaped = (text: string) =>
  text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
