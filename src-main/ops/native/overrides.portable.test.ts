// The overridden ops, compiled for the instruction set portable.
import { testOverrides } from './cases';

testOverrides('portable');
