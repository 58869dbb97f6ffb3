//! Library of orion-operator.
