-- false or nothing are the same. It is taken out, as manifests mostly have it.
obj.spec.suspend = nil
return obj
