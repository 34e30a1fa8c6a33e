import { limitConformance } from './limit-conformance.ts'

limitConformance('cgroup_v1')
