import { simple } from './simple.ts'

export default simple('leaves scopes open')
