import { limitConformance } from '../../../test/support/limits/limit-conformance.ts'

limitConformance('cgroup_v1')
