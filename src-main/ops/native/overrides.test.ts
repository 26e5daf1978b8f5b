// The overridden ops, compiled for the best instruction set that this processor has.
import { testOverrides } from './cases';

testOverrides(undefined);
