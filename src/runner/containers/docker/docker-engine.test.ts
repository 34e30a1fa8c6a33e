import { dockerHere } from '../../../../test/support/docker/docker.ts'
import { containerEngineConformance } from '../container-engine-conformance.ts'
import { dockerUnderTest } from './docker-fixture.ts'

containerEngineConformance('docker', await dockerHere(), dockerUnderTest)
